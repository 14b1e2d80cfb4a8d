//! As much of Vulkan as the plan needs: a device, buffers, pipelines, and one list of commands.

// Vulkan is a C interface: every call of it is unsafe.
#![allow(unsafe_code)]

use std::{cell::RefCell, error::Error};

use ash::vk;

/// A Vulkan device with one queue that computes.
pub struct Gpu {
    // Unloads Vulkan when it goes, so it is kept to the end.
    _entry: ash::Entry,
    instance: ash::Instance,
    device: ash::Device,
    queue: vk::Queue,
    memory: vk::PhysicalDeviceMemoryProperties,
    commands: vk::CommandPool,
    /// What was made and is not destroyed yet, in that order: whatever fails on the way, nothing is lost.
    made: RefCell<Vec<Made>>,
    pub name: String,
}

/// A thing of the device's.
enum Made {
    Buffer(vk::Buffer),
    Memory(vk::DeviceMemory),
    SetLayout(vk::DescriptorSetLayout),
    Layout(vk::PipelineLayout),
    Pipeline(vk::Pipeline),
    Pool(vk::DescriptorPool),
}

/// A buffer that the host sees too, as long as its [`Gpu`] keeps it. (On a GPU with memory of its own, slots and weights belong there instead.)
#[derive(Clone, Copy)]
pub struct Buffer {
    pub raw: vk::Buffer,
    host: *mut u8,
    size: usize,
}

/// A kernel ready to be bound.
#[derive(Clone, Copy)]
pub struct Pipeline {
    raw: vk::Pipeline,
    layout: vk::PipelineLayout,
    set_layout: vk::DescriptorSetLayout,
}

/// One thing to run.
pub struct Step {
    pub pipeline: Pipeline,
    pub set: vk::DescriptorSet,
    pub workgroups: [u32; 3],
}

/// What is bound at a number: a buffer, from a byte on, so many bytes, as storage or as a uniform.
pub struct Bound {
    pub binding: u32,
    pub buffer: vk::Buffer,
    pub offset: usize,
    pub bytes: usize,
    pub kind: vk::DescriptorType,
}

impl Gpu {
    /// Opens the first device that computes, discrete ones before others, with f16 where `f16` holds; of those whose name
    /// has `wanted` in it.
    pub fn open(f16: bool, subgroup: u32, wanted: &str) -> Result<Gpu, Box<dyn Error>> {
        // SAFETY: the library is the system's Vulkan loader.
        let entry = unsafe { ash::Entry::load()? };
        let application = vk::ApplicationInfo::default().api_version(vk::API_VERSION_1_2);
        let info = vk::InstanceCreateInfo::default().application_info(&application);
        // SAFETY: `info` and what it points to live through the call.
        let instance = unsafe { entry.create_instance(&info, None)? };
        let chosen = choose(&instance, f16, subgroup, wanted).and_then(|(physical, family, name)| {
            Ok((physical, family, name, create_device(&instance, physical, family, f16)?))
        });
        let (physical, family, name, device) = chosen.inspect_err(|_| {
            // SAFETY: nothing was made of the instance.
            unsafe { instance.destroy_instance(None) }
        })?;
        // SAFETY: the device was made with one queue of `family`, and `physical` is of this instance.
        let (queue, memory) = unsafe {
            (device.get_device_queue(family, 0), instance.get_physical_device_memory_properties(physical))
        };
        let pool = vk::CommandPoolCreateInfo::default().queue_family_index(family);
        // SAFETY: as above.
        let commands = unsafe { device.create_command_pool(&pool, None) }.inspect_err(|_| {
            // SAFETY: nothing was made of either.
            unsafe {
                device.destroy_device(None);
                instance.destroy_instance(None);
            }
        })?;
        let made = RefCell::default();
        Ok(Gpu { _entry: entry, instance, device, queue, memory, commands, made, name })
    }

    fn keep(&self, made: Made) {
        self.made.borrow_mut().push(made);
    }

    /// How much was made up to now, for [`Gpu::destroy_since`].
    pub fn mark(&self) -> usize {
        self.made.borrow().len()
    }

    /// Destroys what was made since `mark`, the latest first; nobody may use it any more.
    pub fn destroy_since(&self, mark: usize) {
        for made in self.made.borrow_mut().drain(mark..).rev() {
            // SAFETY: it is this device's, and nothing is in flight: `run` waits.
            unsafe {
                match made {
                    Made::Buffer(buffer) => self.device.destroy_buffer(buffer, None),
                    Made::Memory(memory) => self.device.free_memory(memory, None),
                    Made::SetLayout(layout) => self.device.destroy_descriptor_set_layout(layout, None),
                    Made::Layout(layout) => self.device.destroy_pipeline_layout(layout, None),
                    Made::Pipeline(pipeline) => self.device.destroy_pipeline(pipeline, None),
                    Made::Pool(pool) => self.device.destroy_descriptor_pool(pool, None),
                }
            }
        }
    }

    pub fn buffer(&self, size: usize, usage: vk::BufferUsageFlags) -> Result<Buffer, Box<dyn Error>> {
        let info = vk::BufferCreateInfo::default().size(size as u64).usage(usage);
        // SAFETY: the buffer gets memory of a kind and a size that it can have, all of which stays mapped until it is
        // freed, after the buffer.
        unsafe {
            let raw = self.device.create_buffer(&info, None)?;
            self.keep(Made::Buffer(raw));
            let needs = self.device.get_buffer_memory_requirements(raw);
            let wanted = vk::MemoryPropertyFlags::HOST_VISIBLE | vk::MemoryPropertyFlags::HOST_COHERENT;
            let types = self.memory.memory_types_as_slice().iter().enumerate();
            let mut fits = types.filter(|(at, ty)| {
                needs.memory_type_bits & (1 << at) != 0 && ty.property_flags.contains(wanted)
            });
            let (kind, _) = fits.next().ok_or("the device has no memory that the host sees")?;
            let info =
                vk::MemoryAllocateInfo::default().allocation_size(needs.size).memory_type_index(kind as u32);
            let memory = self.device.allocate_memory(&info, None)?;
            self.keep(Made::Memory(memory));
            self.device.bind_buffer_memory(raw, memory, 0)?;
            let host = self.device.map_memory(memory, 0, vk::WHOLE_SIZE, vk::MemoryMapFlags::empty())?;
            Ok(Buffer { raw, host: host.cast(), size })
        }
    }

    /// A pipeline of SPIR-V words whose bindings are of these kinds.
    pub fn pipeline(
        &self,
        words: &[u32],
        entry_point: &str,
        bindings: &[(u32, vk::DescriptorType)],
    ) -> Result<Pipeline, Box<dyn Error>> {
        let binding = |&(binding, kind): &(u32, vk::DescriptorType)| {
            vk::DescriptorSetLayoutBinding::default()
                .binding(binding)
                .descriptor_type(kind)
                .descriptor_count(1)
                .stage_flags(vk::ShaderStageFlags::COMPUTE)
        };
        let bindings: Vec<_> = bindings.iter().map(binding).collect();
        let entry_point = std::ffi::CString::new(entry_point)?;
        // SAFETY: everything that is pointed to lives through its call; the module is SPIR-V that was validated when
        // it was exported.
        unsafe {
            let info = vk::DescriptorSetLayoutCreateInfo::default().bindings(&bindings);
            let set_layout = self.device.create_descriptor_set_layout(&info, None)?;
            self.keep(Made::SetLayout(set_layout));
            let set_layouts = [set_layout];
            let info = vk::PipelineLayoutCreateInfo::default().set_layouts(&set_layouts);
            let layout = self.device.create_pipeline_layout(&info, None)?;
            self.keep(Made::Layout(layout));
            let info = vk::ShaderModuleCreateInfo::default().code(words);
            let module = self.device.create_shader_module(&info, None)?;
            let stage = vk::PipelineShaderStageCreateInfo::default()
                .stage(vk::ShaderStageFlags::COMPUTE)
                .module(module)
                .name(&entry_point);
            let info = [vk::ComputePipelineCreateInfo::default().stage(stage).layout(layout)];
            let made = self.device.create_compute_pipelines(vk::PipelineCache::null(), &info, None);
            self.device.destroy_shader_module(module, None);
            let raw = made.map_err(|(_, error)| error)?[0];
            self.keep(Made::Pipeline(raw));
            Ok(Pipeline { raw, layout, set_layout })
        }
    }

    /// A pool for so many sets, each of at most 8 buffers.
    pub fn pool(&self, sets: usize) -> Result<vk::DescriptorPool, Box<dyn Error>> {
        let count = 8 * sets as u32;
        let kinds = [vk::DescriptorType::STORAGE_BUFFER, vk::DescriptorType::UNIFORM_BUFFER];
        let sizes = kinds.map(|ty| vk::DescriptorPoolSize { ty, descriptor_count: count });
        let info = vk::DescriptorPoolCreateInfo::default().max_sets(sets as u32).pool_sizes(&sizes);
        // SAFETY: `info` lives through the call.
        let pool = unsafe { self.device.create_descriptor_pool(&info, None)? };
        self.keep(Made::Pool(pool));
        Ok(pool)
    }

    /// A set of `pool` that binds `bound` to `pipeline`.
    pub fn bind(
        &self,
        pool: vk::DescriptorPool,
        pipeline: Pipeline,
        bound: &[Bound],
    ) -> Result<vk::DescriptorSet, Box<dyn Error>> {
        let layouts = [pipeline.set_layout];
        let info = vk::DescriptorSetAllocateInfo::default().descriptor_pool(pool).set_layouts(&layouts);
        // SAFETY: pool and layout are this device's.
        let set = unsafe { self.device.allocate_descriptor_sets(&info)?[0] };
        let range = |one: &Bound| {
            [vk::DescriptorBufferInfo {
                buffer: one.buffer,
                offset: one.offset as u64,
                range: one.bytes as u64,
            }]
        };
        let ranges: Vec<_> = bound.iter().map(range).collect();
        let write = |(one, range): (&Bound, &[vk::DescriptorBufferInfo; 1])| {
            let write = vk::WriteDescriptorSet::default().dst_set(set).dst_binding(one.binding);
            vk::WriteDescriptorSet {
                p_buffer_info: range.as_ptr(),
                descriptor_count: 1,
                ..write.descriptor_type(one.kind)
            }
        };
        let writes: Vec<_> = bound.iter().zip(&ranges).map(write).collect();
        // SAFETY: `ranges` lives through the call; no command uses the set yet.
        unsafe { self.device.update_descriptor_sets(&writes, &[]) };
        Ok(set)
    }

    /// Runs `steps` one after the other and waits.
    pub fn run(&self, steps: &[Step]) -> Result<(), Box<dyn Error>> {
        let device = &self.device;
        let info = vk::CommandBufferAllocateInfo::default()
            .command_pool(self.commands)
            .level(vk::CommandBufferLevel::PRIMARY)
            .command_buffer_count(1);
        let shader = vk::AccessFlags::SHADER_READ | vk::AccessFlags::SHADER_WRITE;
        let between = [vk::MemoryBarrier::default()
            .src_access_mask(vk::AccessFlags::SHADER_WRITE)
            .dst_access_mask(shader)];
        let end = [vk::MemoryBarrier::default()
            .src_access_mask(vk::AccessFlags::SHADER_WRITE)
            .dst_access_mask(vk::AccessFlags::HOST_READ)];
        let (compute, host) = (vk::PipelineStageFlags::COMPUTE_SHADER, vk::PipelineStageFlags::HOST);
        // SAFETY: pipelines, sets and buffers are this device's and outlive the wait at the end; what the host wrote
        // before the submit is seen, for the memory is coherent.
        unsafe {
            let commands = device.allocate_command_buffers(&info)?;
            let once = vk::CommandBufferUsageFlags::ONE_TIME_SUBMIT;
            device.begin_command_buffer(commands[0], &vk::CommandBufferBeginInfo::default().flags(once))?;
            for Step { pipeline, set, workgroups: [x, y, z] } in steps {
                let point = vk::PipelineBindPoint::COMPUTE;
                device.cmd_bind_pipeline(commands[0], point, pipeline.raw);
                device.cmd_bind_descriptor_sets(commands[0], point, pipeline.layout, 0, &[*set], &[]);
                device.cmd_dispatch(commands[0], *x, *y, *z);
                let none = vk::DependencyFlags::empty();
                device.cmd_pipeline_barrier(commands[0], compute, compute, none, &between, &[], &[]);
            }
            let none = vk::DependencyFlags::empty();
            device.cmd_pipeline_barrier(commands[0], compute, host, none, &end, &[], &[]);
            device.end_command_buffer(commands[0])?;
            let fence = device.create_fence(&vk::FenceCreateInfo::default(), None)?;
            let submit = [vk::SubmitInfo::default().command_buffers(&commands)];
            let done = device
                .queue_submit(self.queue, &submit, fence)
                .and_then(|()| device.wait_for_fences(&[fence], true, 60_000_000_000));
            device.destroy_fence(fence, None);
            device.free_command_buffers(self.commands, &commands);
            Ok(done?)
        }
    }
}

impl Drop for Gpu {
    fn drop(&mut self) {
        self.destroy_since(0);
        // SAFETY: nothing that was made of them is left.
        unsafe {
            self.device.destroy_command_pool(self.commands, None);
            self.device.destroy_device(None);
            self.instance.destroy_instance(None);
        }
    }
}

impl Buffer {
    /// Bytes of it.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Copies `bytes` to its beginning.
    pub fn write(&self, bytes: &[u8]) {
        assert!(bytes.len() <= self.size);
        // SAFETY: the buffer is mapped, `bytes` fits it, and nothing is in flight.
        unsafe { self.host.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) }
    }

    /// Its first so many bytes.
    pub fn read(&self, bytes: usize) -> Vec<u8> {
        assert!(bytes <= self.size);
        // SAFETY: the buffer is mapped, and nothing is in flight.
        unsafe { std::slice::from_raw_parts(self.host, bytes) }.to_vec()
    }
}

/// A device that has what is needed, the family of its queues that compute, and its name.
fn choose(
    instance: &ash::Instance,
    f16: bool,
    subgroup: u32,
    wanted: &str,
) -> Result<(vk::PhysicalDevice, u32, String), Box<dyn Error>> {
    // SAFETY: `instance` lives.
    let mut found = unsafe { instance.enumerate_physical_devices()? };
    // SAFETY: the devices are of `instance`, here and below.
    let kind = |physical: &vk::PhysicalDevice| unsafe {
        instance.get_physical_device_properties(*physical).device_type
    };
    found.sort_by_key(|physical| kind(physical) != vk::PhysicalDeviceType::DISCRETE_GPU);
    for physical in found {
        let mut lanes = vk::PhysicalDeviceSubgroupProperties::default();
        let mut properties = vk::PhysicalDeviceProperties2::default().push_next(&mut lanes);
        let mut half = vk::PhysicalDeviceVulkan12Features::default();
        let mut storage = vk::PhysicalDeviceVulkan11Features::default();
        let mut features =
            vk::PhysicalDeviceFeatures2::default().push_next(&mut half).push_next(&mut storage);
        // SAFETY: the chained structures live through the calls; a device below 1.2 leaves them alone.
        let families = unsafe {
            instance.get_physical_device_properties2(physical, &mut properties);
            instance.get_physical_device_features2(physical, &mut features);
            instance.get_physical_device_queue_family_properties(physical)
        };
        let properties = properties.properties;
        let family = families.iter().position(|family| family.queue_flags.contains(vk::QueueFlags::COMPUTE));
        let halves = half.shader_float16 == vk::TRUE
            && storage.storage_buffer16_bit_access == vk::TRUE
            && storage.uniform_and_storage_buffer16_bit_access == vk::TRUE;
        let fits = properties.api_version >= vk::API_VERSION_1_2
            && (halves || !f16)
            && (subgroup == 0 || subgroup == lanes.subgroup_size);
        let name = properties.device_name_as_c_str()?.to_string_lossy().into_owned();
        if let Some(family) = family.filter(|_| fits && name.contains(wanted)) {
            return Ok((physical, family as u32, name));
        }
    }
    let named = if wanted.is_empty() { String::new() } else { format!(" named {wanted}") };
    Err(format!("no Vulkan device{named} has what the plan requires").into())
}

fn create_device(
    instance: &ash::Instance,
    physical: vk::PhysicalDevice,
    family: u32,
    f16: bool,
) -> Result<ash::Device, Box<dyn Error>> {
    let queues = [vk::DeviceQueueCreateInfo::default().queue_family_index(family).queue_priorities(&[1.0])];
    let mut half = vk::PhysicalDeviceVulkan12Features::default().shader_float16(f16);
    let mut storage = vk::PhysicalDeviceVulkan11Features::default()
        .storage_buffer16_bit_access(f16)
        .uniform_and_storage_buffer16_bit_access(f16);
    let info = vk::DeviceCreateInfo::default()
        .queue_create_infos(&queues)
        .push_next(&mut half)
        .push_next(&mut storage);
    // SAFETY: everything that `info` points to lives through the call, and `choose` saw that the features are there.
    Ok(unsafe { instance.create_device(physical, &info, None)? })
}
