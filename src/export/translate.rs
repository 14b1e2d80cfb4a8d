//! A specialised text in the language of a target, and what a host must know to run it.

use std::collections::BTreeMap;

use naga::{
    AddressSpace, BuiltIn, Module, ResourceBinding, StorageAccess, TypeInner,
    back::{hlsl, msl, spv},
    proc::{BoundsCheckPolicies, BoundsCheckPolicy},
    valid::{Capabilities, ModuleInfo, ShaderStages, SubgroupOperationSet, ValidationFlags, Validator},
};

use super::{
    Target,
    manifest::{Access, At, Field, Port},
};
use crate::{kernels::Kernel, tensor::DType};

/// A kernel in a target's language.
pub struct Translated {
    /// The file's content.
    pub bytes: Vec<u8>,
    pub entry_point: String,
    pub workgroup_size: [u32; 3],
    pub ports: Vec<Port>,
    /// Bytes of each variable in workgroup memory, in the order of their declaration.
    pub workgroup_memory: Vec<u32>,
    /// Where Direct3D's host puts the number of workgroups.
    pub counts: Option<At>,
}

/// No index leaves its buffer and every loop has a bound: what [`crate::plan`] binds has been proved by tests.
const UNCHECKED: BoundsCheckPolicies = BoundsCheckPolicies {
    index: BoundsCheckPolicy::Unchecked,
    buffer: BoundsCheckPolicy::Unchecked,
    image_load: BoundsCheckPolicy::Unchecked,
    binding_array: BoundsCheckPolicy::Unchecked,
};

/// The head line of every shader that folds its grid.
const COUNTS: &str = "    @builtin(num_workgroups) groups: vec3<u32>,\n";

/// The text of `kernel`, with its grid as a constant where that is known: Direct3D has no
/// built-in that tells it.
pub fn text(kernel: &Kernel, grid: Option<[u32; 3]>) -> String {
    let text = kernel.text();
    match grid {
        Some([x, y, _]) if text.contains(COUNTS) => {
            let rest = text.replacen(COUNTS, "", 1);
            format!(
                "{rest}\n// Workgroups of the grid for one picture.\nconst groups = vec3<u32>({x}u, {y}u, 1u);\n"
            )
        }
        _ => text,
    }
}

/// Translates `text`, one of this crate's, whose label is `name`.
///
/// # Panics
/// When it is not valid: a broken invariant of the shader's file.
pub fn translate(name: &str, text: &str, dtype: DType, target: Target) -> Translated {
    let module = naga::front::wgsl::parse_str(text)
        .unwrap_or_else(|error| panic!("{name}: {}", error.emit_to_string(text)));
    let mut validator =
        Validator::new(ValidationFlags::all(), Capabilities::SHADER_FLOAT16 | Capabilities::SUBGROUP);
    validator.subgroup_stages(ShaderStages::COMPUTE).subgroup_operations(SubgroupOperationSet::all());
    let info =
        validator.validate(&module).unwrap_or_else(|error| panic!("{name}: {}", error.emit_to_string(text)));
    let main = &module.entry_points[0];
    let counts = main
        .function
        .arguments
        .iter()
        .any(|argument| matches!(argument.binding, Some(naga::Binding::BuiltIn(BuiltIn::NumWorkGroups))));
    let counts = (counts && target == Target::Hlsl).then(|| At::Register { register: "b0".into(), space: 1 });
    let ports = ports(&module, target);
    let (bytes, entry_point) = match target {
        Target::Wgsl => (text.as_bytes().to_vec(), main.name.clone()),
        Target::Spirv => (spirv(name, &module, &info), main.name.clone()),
        Target::Msl => metal(name, &module, &info),
        Target::Hlsl => direct3d(name, &module, &info, dtype, counts.is_some()),
    };
    let shared = module.global_variables.iter().filter(|(_, var)| var.space == AddressSpace::WorkGroup);
    let size = |(_, var): (_, &naga::GlobalVariable)| module.types[var.ty].inner.size(module.to_ctx());
    Translated {
        bytes,
        entry_point,
        workgroup_size: main.workgroup_size,
        ports,
        workgroup_memory: shared.map(size).collect(),
        counts,
    }
}

/// What is bound to `module`, by number, and where in the target's own counting.
fn ports(module: &Module, target: Target) -> Vec<Port> {
    let port = |var: &naga::GlobalVariable| {
        let ResourceBinding { group, binding } = var.binding?;
        let access = match var.space {
            AddressSpace::Uniform => Access::Uniform,
            AddressSpace::Storage { access } if access.contains(StorageAccess::STORE) => Access::Write,
            _ => Access::Read,
        };
        let at = match target {
            Target::Wgsl => At::Group { group },
            Target::Spirv => At::Set { set: group },
            Target::Msl => At::Buffer { buffer: binding },
            Target::Hlsl => {
                let kind = match access {
                    Access::Read => 't',
                    Access::Write => 'u',
                    Access::Uniform => 'b',
                };
                At::Register { register: format!("{kind}{binding}"), space: group }
            }
        };
        Some(Port { binding, access, at, fields: fields(module, var.ty) })
    };
    let mut ports: Vec<Port> = module.global_variables.iter().filter_map(|(_, var)| port(var)).collect();
    ports.sort_by_key(|port| port.binding);
    ports
}

/// What a uniform holds.
fn fields(module: &Module, ty: naga::Handle<naga::Type>) -> Vec<Field> {
    let TypeInner::Struct { members, .. } = &module.types[ty].inner else { return Vec::new() };
    let field = |member: &naga::StructMember| {
        let ty = match module.types[member.ty].inner {
            TypeInner::Scalar(naga::Scalar::U32) => "u32",
            TypeInner::Scalar(naga::Scalar::I32) => "i32",
            TypeInner::Vector { scalar: naga::Scalar::F32, .. } => "vec4<f32>",
            ref other => unreachable!("a uniform of {other:?}"),
        };
        Field { name: member.name.clone().unwrap_or_default(), ty: ty.into(), offset: member.offset }
    };
    members.iter().map(field).collect()
}

fn spirv(name: &str, module: &Module, info: &ModuleInfo) -> Vec<u8> {
    let options = spv::Options {
        // Of Vulkan 1.1.
        lang_version: (1, 3),
        flags: spv::WriterFlags::empty(),
        bounds_check_policies: UNCHECKED,
        zero_initialize_workgroup_memory: spv::ZeroInitializeWorkgroupMemoryMode::None,
        force_loop_bounding: false,
        use_storage_input_output_16: false,
        emit_int_div_checks: false,
        ..spv::Options::default()
    };
    let words =
        spv::write_vec(module, info, &options, None).unwrap_or_else(|error| panic!("{name}: {error}"));
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn metal(name: &str, module: &Module, info: &ModuleInfo) -> (Vec<u8>, String) {
    let bindings = module.global_variables.iter().filter_map(|(_, var)| Some((var.binding?, var.space)));
    let target = |(place, space): (ResourceBinding, AddressSpace)| {
        let mutable =
            matches!(space, AddressSpace::Storage { access } if access.contains(StorageAccess::STORE));
        let buffer = u8::try_from(place.binding).expect("a shader binds few buffers");
        (place, msl::BindTarget { buffer: Some(buffer), mutable, ..msl::BindTarget::default() })
    };
    let resources = msl::EntryPointResources {
        resources: bindings.map(target).collect(),
        sizes_buffer: Some(30),
        ..msl::EntryPointResources::default()
    };
    let options = msl::Options {
        lang_version: (2, 4),
        per_entry_point_map: BTreeMap::from([(module.entry_points[0].name.clone(), resources)]),
        fake_missing_bindings: false,
        bounds_check_policies: UNCHECKED,
        zero_initialize_workgroup_memory: false,
        force_loop_bounding: false,
        emit_int_div_checks: false,
        ..msl::Options::default()
    };
    let (text, translation) = msl::write_string(module, info, &options, &msl::PipelineOptions::default())
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    let entry_point = translation.entry_point_names[0].as_ref();
    let entry_point = entry_point.unwrap_or_else(|error| panic!("{name}: {error}")).clone();
    (without_sizes(name, &text).into_bytes(), entry_point)
}

/// Metal's text without the sizes of its buffers, which are handed down to every function and, as no index is
/// checked, read by none.
fn without_sizes(name: &str, text: &str) -> String {
    let mut rest = text.to_string();
    if let Some(begin) = rest.find("struct _mslBufferSizes {") {
        let end = begin + rest[begin..].find("};\n").expect("a struct ends") + 3;
        rest.replace_range(begin..end, "");
    }
    for argument in [
        ", constant _mslBufferSizes& _buffer_sizes [[buffer(30)]]",
        ",\n    constant _mslBufferSizes& _buffer_sizes",
        ", _buffer_sizes",
    ] {
        rest = rest.replace(argument, "");
    }
    assert!(!rest.contains("_buffer_sizes"), "{name}: a buffer's size is read:\n{rest}");
    rest
}

/// Direct3D's text, whose first line says how its compiler takes it: HLSL 2021, which is DXC's default, has no
/// `condition ? a : b` of vectors.
fn direct3d(name: &str, module: &Module, info: &ModuleInfo, dtype: DType, counts: bool) -> (Vec<u8>, String) {
    let (shader_model, words) = match dtype {
        // FXC takes it too, as `cs_5_1`.
        DType::F32 => (hlsl::ShaderModel::V5_1, "-T cs_6_0"),
        // Of 16-bit scalars.
        DType::F16 => (hlsl::ShaderModel::V6_2, "-T cs_6_2 -enable-16bit-types"),
    };
    let options = hlsl::Options {
        shader_model,
        special_constants_binding: counts.then(|| hlsl::BindTarget {
            space: 1,
            register: 0,
            ..hlsl::BindTarget::default()
        }),
        zero_initialize_workgroup_memory: false,
        restrict_indexing: false,
        force_loop_bounding: false,
        ..hlsl::Options::default()
    };
    let mut text = String::new();
    let pipeline = hlsl::PipelineOptions::default();
    let reflection = hlsl::Writer::new(&mut text, &options, &pipeline)
        .write(module, info, None)
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    let entry_point = reflection.entry_point_names[0].as_ref();
    let entry_point = entry_point.unwrap_or_else(|error| panic!("{name}: {error}")).clone();
    (format!("// dxc -HV 2018 {words} -E {entry_point}\n{text}").into_bytes(), entry_point)
}
