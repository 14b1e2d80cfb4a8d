//! A plan made real: buffers and pipelines once, then as many runs as are wanted.

use std::{error::Error, fs, path::Path};

use ash::vk::{BufferUsageFlags, DescriptorType};

use super::{
    gpu::{Bound, Buffer, Gpu, Pipeline, Step},
    picture::Passes,
    plan::{Kernel, Plan},
};

const STORAGE: DescriptorType = DescriptorType::STORAGE_BUFFER;
const UNIFORM: DescriptorType = DescriptorType::UNIFORM_BUFFER;

/// An exported plan on a Vulkan device.
pub struct Runner {
    pub gpu: Gpu,
    pub plan: Plan,
    slots: Vec<Buffer>,
    resize: Pipeline,
    normalize: Pipeline,
    /// A step for each dispatch, of one picture.
    steps: Vec<Step>,
}

/// What a run found, picture by picture.
pub struct Found {
    pub logits: Vec<Vec<f32>>,
    /// Classes and their probabilities, best first.
    pub top: Vec<Vec<(usize, f32)>>,
}

impl Runner {
    /// Loads the plan in `folder`.
    pub fn open(folder: &Path, device: &str) -> Result<Runner, Box<dyn Error>> {
        let plan: Plan = serde_json::from_slice(&fs::read(folder.join("plan.json"))?)?;
        if plan.format != "mobileone-plan" || plan.version != 2 || plan.target != "spirv" {
            return Err("this runs plans of version 2 for spirv".into());
        }
        let gpu = Gpu::open(plan.requires.f16, plan.requires.subgroup, device)?;
        let storage = BufferUsageFlags::STORAGE_BUFFER;
        let slot = |bytes: usize| gpu.buffer(bytes * plan.batch, storage);
        let slots: Vec<Buffer> =
            plan.slots.iter().map(|slot_of| slot(slot_of.bytes)).collect::<Result<_, _>>()?;
        let packed = fs::read(folder.join(&plan.weights.file))?;
        let weights = gpu.buffer(packed.len(), storage)?;
        weights.write(&packed);

        let pipeline = |kernel: &Kernel| -> Result<Pipeline, Box<dyn Error>> {
            let bytes = fs::read(folder.join(&kernel.file))?;
            let words: Vec<u32> = bytes.as_chunks().0.iter().map(|&word| u32::from_le_bytes(word)).collect();
            let kind = |access: &str| if access == "uniform" { UNIFORM } else { STORAGE };
            let bindings: Vec<_> =
                kernel.bindings.iter().map(|port| (port.binding, kind(&port.access))).collect();
            gpu.pipeline(&words, &kernel.entry_point, &bindings)
        };
        let kernels: Vec<Pipeline> = plan.kernels.iter().map(pipeline).collect::<Result<_, _>>()?;
        let (resize, normalize) = (pipeline(&plan.preprocess.resize)?, pipeline(&plan.preprocess.normalize)?);

        let pool = gpu.pool(plan.dispatches.len())?;
        let mut steps = Vec::new();
        for dispatch in &plan.dispatches {
            let bound = dispatch.bindings.iter().map(|one| match (one.slot, one.param) {
                (Some(slot), _) => bind(one.binding, slots[slot], 0, plan.slots[slot].bytes * plan.batch),
                (_, Some(param)) => {
                    bind(one.binding, weights, plan.params[param].offset, plan.params[param].bytes)
                }
                _ => unreachable!("a binding is of a slot or of a parameter"),
            });
            let pipeline = kernels[dispatch.kernel];
            let set = gpu.bind(pool, pipeline, &bound.collect::<Vec<_>>())?;
            steps.push(Step { pipeline, set, workgroups: dispatch.workgroups });
        }
        Ok(Runner { gpu, plan, slots, resize, normalize, steps })
    }

    /// Runs `pictures` normalized pictures, as they lie in the input's slot.
    pub fn run(&mut self, input: &[u8], pictures: usize) -> Result<Found, Box<dyn Error>> {
        if pictures > self.plan.batch || input.len() != self.plan.input.bytes * pictures {
            return Err("so many bytes are no input of this plan".into());
        }
        self.slots[self.plan.input.slot].write(input);
        self.infer(pictures)
    }

    /// Runs one RGBA picture.
    pub fn run_picture(&mut self, rgba: &[u8], width: usize, height: usize) -> Result<Found, Box<dyn Error>> {
        let mark = self.gpu.mark();
        let prepared = self.prepare(rgba, width, height);
        self.gpu.destroy_since(mark);
        prepared?;
        self.infer(1)
    }

    /// Makes the input of a picture, with buffers of its own.
    fn prepare(&self, rgba: &[u8], width: usize, height: usize) -> Result<(), Box<dyn Error>> {
        let passes = Passes::new(&self.plan.preprocess, width, height);
        let (storage, uniform) = (BufferUsageFlags::STORAGE_BUFFER, BufferUsageFlags::UNIFORM_BUFFER);
        let picture = self.gpu.buffer(rgba.len(), storage)?;
        picture.write(rgba);
        let between = self.gpu.buffer(4 * passes.first.pixels(), storage)?;
        let crop = self.gpu.buffer(4 * passes.second.pixels(), storage)?;
        let input = self.slots[self.plan.input.slot];
        let pool = self.gpu.pool(3)?;
        let [height, width] = self.plan.preprocess.size;
        let dispatches = [
            (self.resize, passes.first.0, picture, between, passes.first.pixels()),
            (self.resize, passes.second.0, between, crop, passes.second.pixels()),
            (self.normalize, passes.normalize, crop, input, width * height),
        ];
        let mut steps = Vec::new();
        for (pipeline, words, src, dst, pixels) in dispatches {
            let told = self.gpu.buffer(64, uniform)?;
            told.write(&words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>());
            let bound = [
                bind(0, src, 0, src.size()),
                bind(3, dst, 0, dst.size()),
                Bound { kind: UNIFORM, ..bind(4, told, 0, 64) },
            ];
            let set = self.gpu.bind(pool, pipeline, &bound)?;
            // 64 invocations a workgroup, and at most 65,535 workgroups in x.
            let groups = pixels.div_ceil(64) as u32;
            let rows = groups.div_ceil(65_535);
            steps.push(Step { pipeline, set, workgroups: [groups.div_ceil(rows), rows, 1] });
        }
        self.gpu.run(&steps)
    }

    /// Runs the plan on what is in the input's slot.
    fn infer(&mut self, pictures: usize) -> Result<Found, Box<dyn Error>> {
        self.steps.iter_mut().for_each(|step| step.workgroups[2] = pictures as u32);
        self.gpu.run(&self.steps)?;
        let logits = self.output("logits", pictures)?;
        let top = self.output("top", pictures)?;
        let pair = |pair: &[f32]| (pair[0] as usize, pair[1]);
        let top = top.iter().map(|top| top.chunks_exact(2).map(pair).collect()).collect();
        Ok(Found { logits, top })
    }
}

impl Runner {
    /// The values of an output that count, picture by picture; none where the plan has no such output.
    fn output(&self, name: &str, pictures: usize) -> Result<Vec<Vec<f32>>, Box<dyn Error>> {
        let Some(output) = self.plan.outputs.iter().find(|output| output.name == name) else {
            return Ok(Vec::new());
        };
        if output.dtype != "f32" {
            return Err(format!("{name} is stored as {}", output.dtype).into());
        }
        let bytes = self.slots[output.slot].read(output.bytes * pictures);
        let values: Vec<f32> = bytes.as_chunks().0.iter().map(|&word| f32::from_le_bytes(word)).collect();
        if values.iter().any(|value| !value.is_finite()) {
            return Err(format!("the device failed: {name} is not finite").into());
        }
        let [h, w, c] = output.shape;
        let picture = |picture: &[f32]| {
            picture.chunks_exact(output.channels).flat_map(|pixel| &pixel[..c]).copied().collect()
        };
        Ok(values.chunks_exact(h * w * output.channels).map(picture).collect())
    }
}

fn bind(binding: u32, buffer: Buffer, offset: usize, bytes: usize) -> Bound {
    Bound { binding, buffer: buffer.raw, offset, bytes, kind: STORAGE }
}
