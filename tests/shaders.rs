//! Every shader as it lies on disk, and every text that is made of it, in every language of a device.

use std::{collections::BTreeMap, io::Write, process::Command, sync::Once};

use mobileone::{
    Checkpoint, DType, Form, Model, Outputs, Shape,
    bench::SETS,
    graph::Activation,
    kernels::{activation, choices, limit, normalize, prepare, resize, shaders, ways},
    models::mobileone::{VARIANTS, synthetic},
    plan::{Limits, Plan, Tuning},
    tasks::classify,
};
use naga::{
    back::{glsl, hlsl, msl, spv},
    valid::{Capabilities, ModuleInfo, ShaderStages, SubgroupOperationSet, ValidationFlags, Validator},
};

use crate::dxc::Text;

/// The module of a text that must be sound.
pub fn validate(name: &str, text: &str) -> (naga::Module, ModuleInfo) {
    let module = naga::front::wgsl::parse_str(text)
        .unwrap_or_else(|error| panic!("{name}: {}", error.emit_to_string(text)));
    let mut validator = Validator::new(
        ValidationFlags::all(),
        Capabilities::SHADER_FLOAT16 | Capabilities::SUBGROUP | Capabilities::COOPERATIVE_MATRIX,
    );
    validator.subgroup_stages(ShaderStages::COMPUTE).subgroup_operations(SubgroupOperationSet::all());
    let info =
        validator.validate(&module).unwrap_or_else(|error| panic!("{name}: {}", error.emit_to_string(text)));
    (module, info)
}

#[test]
fn files_are_valid_programs_and_short() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/shaders");
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), shaders().count(), "each file has its kernel");
    for shader in shaders() {
        validate(shader.stem, shader.text);
        assert!(
            shader.text.lines().count() <= 160,
            "{}.wgsl is too long to read in one sitting",
            shader.stem
        );
    }
}

/// Every text of S0 to S4, of a train form, of each tile and storage, and of the preprocessing.
fn texts() -> BTreeMap<String, (String, DType)> {
    let train = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/se.timm.train.safetensors");
    let mut models = vec![Model::new(Checkpoint::open(train).unwrap(), Form::Train).unwrap()];
    models
        .extend(VARIANTS.iter().map(|variant| Model::new(synthetic(variant, 1000, 0), Form::Fused).unwrap()));
    for model in &mut models {
        let wanted = Outputs::named(["probabilities"]).and_best(5);
        model.graph = classify::give(&model.graph, &wanted).unwrap();
    }
    let mut texts = BTreeMap::new();
    for dtype in [DType::F32, DType::F16] {
        for choice in choices() {
            let subgroup = if choice.is(&ways::SUBGROUP) { choice.tile[1] } else { 0 };
            let matrix = if choice.is(&ways::MATRIX) { choice.tile[0] } else { 0 };
            let limits = limits!(Limits::LEAST, subgroup: subgroup, matrix: matrix, storage_buffers: 8);
            let tuning = Tuning { fast: choice.is(&ways::FAST), ..Tuning::only(choice) };
            for model in &models {
                let input = Shape::new(1, 224, 224, 3);
                let plan = Plan::new(&model.graph, &model.weights, input, dtype, limits, &tuning);
                for dispatch in &plan.unwrap().dispatches {
                    texts.insert(dispatch.kernel.text(), (dispatch.label.clone(), dtype));
                }
            }
        }
        texts.insert(normalize::kernel(dtype).text(), ("normalize".into(), dtype));
        for chains in limit::CHAINS {
            for fused in [false, true] {
                texts.insert(limit::peak(dtype, chains, fused).text(), (format!("peak of {chains}"), dtype));
            }
        }
        texts.insert(prepare::kernel(dtype).text(), ("prepare".into(), dtype));
    }
    texts.insert(resize::kernel().text(), ("resize".into(), DType::F32));
    texts.insert(limit::empty().text(), ("empty".into(), DType::F32));
    for set in SETS {
        for copy in [false, true] {
            texts.insert(limit::bandwidth(set, copy).text(), (format!("bandwidth of {set}"), DType::F32));
        }
    }
    texts
}

#[test]
fn every_text_is_sound_in_every_language() {
    let spirv_val = has_spirv_val();
    let texts = texts();
    assert!(texts.len() > 300, "{} texts", texts.len());
    let mut on_matrices = [0, 0];
    let mut direct3d = Vec::new();
    for (text, (label, dtype)) in texts {
        let name = format!("{label} {dtype}");
        let (module, info) = validate(&name, &text);
        let matrices = text.contains("coop_mat");
        let options = spv::Options { lang_version: (1, 3), ..spv::Options::default() };
        let words =
            spv::write_vec(&module, &info, &options, None).unwrap_or_else(|error| panic!("{name}: {error}"));
        if spirv_val {
            check_spirv(&name, &words, matrices);
        }
        let pipeline = msl::PipelineOptions::default();
        let options =
            msl::Options { fake_missing_bindings: true, lang_version: (2, 4), ..msl::Options::default() };
        let (metal, _) = msl::write_string(&module, &info, &options, &pipeline)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        if matrices {
            // Metal has them of 8x8; neither HLSL nor GL has them.
            let eight = text.contains("coop_mat8x8");
            on_matrices[usize::from(eight)] += 1;
            for part in [
                "simdgroup_half8x8",
                "simdgroup_float8x8",
                "simdgroup_multiply_accumulate",
                "simdgroup_store",
            ] {
                assert_eq!(metal.contains(part), eight || !part.contains("8x8"), "{name}: {part}\n{metal}");
            }
            continue;
        }

        // f16 and subgroups need DXC; FXC, which takes its place where it is missing, knows 5.1.
        let lanes = text.contains("subgroup_invocation_id");
        let models = match dtype {
            _ if lanes => &[hlsl::ShaderModel::V6_2],
            DType::F32 => &[hlsl::ShaderModel::V5_1, hlsl::ShaderModel::V6_2][..],
            _ => &[hlsl::ShaderModel::V6_2],
        };
        for &shader_model in models {
            let options = hlsl::Options {
                fake_missing_bindings: true,
                shader_model,
                zero_initialize_workgroup_memory: false,
                ..hlsl::Options::default()
            };
            let mut out = String::new();
            let said = hlsl::Writer::new(&mut out, &options, &hlsl::PipelineOptions::default())
                .write(&module, &info, None)
                .unwrap_or_else(|error| panic!("{name}: {error}"));
            if shader_model == hlsl::ShaderModel::V6_2 {
                let entry_point = said.entry_point_names[0].as_ref().unwrap().clone();
                // As wgpu compiles them.
                let (profile, year) = ("cs_6_2", "2018");
                direct3d.push(Text { name: name.clone(), hlsl: out, entry_point, profile, year });
            }
        }

        // GL devices have neither.
        if dtype == DType::F32 && !lanes {
            let pipeline = glsl::PipelineOptions {
                shader_stage: naga::ShaderStage::Compute,
                entry_point: "main".into(),
                multiview: None,
            };
            for version in [glsl::Version::Desktop(430), glsl::Version::new_gles(310)] {
                let options = glsl::Options { version, ..glsl::Options::default() };
                let mut out = String::new();
                glsl::Writer::new(&mut out, &module, &info, &options, &pipeline, Default::default())
                    .and_then(|mut writer| writer.write())
                    .unwrap_or_else(|error| panic!("{name}: {error}"));
            }
        }
    }
    assert!(
        on_matrices.iter().all(|&count| count > 4),
        "texts on matrices of 16x16 and 8x8: {on_matrices:?}"
    );
    crate::dxc::check(&direct3d);
}

/// Whether spirv-val is there; says loudly when it is not, and on Linux fails where `REQUIRE_GPU=1`.
pub fn has_spirv_val() -> bool {
    let has = Command::new("spirv-val").arg("--version").output().is_ok();
    if !has {
        let required =
            cfg!(target_os = "linux") && std::env::var("REQUIRE_GPU").is_ok_and(|value| value == "1");
        assert!(!required, "REQUIRE_GPU=1, but there is no spirv-val; install spirv-tools");
        crate::skipped(format_args!("spirv-val is missing; install spirv-tools"));
    }
    has
}

/// Asks spirv-val about a module; one that does not know cooperative matrices yet is no judge of them.
pub fn check_spirv(name: &str, words: &[u32], matrices: bool) {
    let mut child = Command::new("spirv-val")
        .args(["--target-env", if matrices { "vulkan1.3" } else { "vulkan1.1" }, "-"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(bytemuck::cast_slice(words)).unwrap();
    static SAID: Once = Once::new();
    let out = child.wait_with_output().unwrap();
    if matrices && String::from_utf8_lossy(&out.stderr).contains("Invalid capability operand: 6022") {
        return SAID.call_once(|| {
            crate::skipped("shaders of cooperative matrices: this spirv-val does not know them")
        });
    }
    assert!(out.status.success(), "{name}: {}", String::from_utf8_lossy(&out.stderr));
}

/// A shader's own activations, with which it is a program as it lies on disk, are the table's ReLU.
#[test]
fn own_activations_are_the_tables() {
    let mut held = 0;
    for shader in shaders() {
        for (at, _) in shader.text.match_indices("fn act") {
            let own = &shader.text[at..];
            let name = own["fn ".len()..].split('(').next().unwrap();
            let four = own.starts_with(&format!("fn {name}(x: vec4<f32>"));
            let table = activation::function(name, Activation::Relu, 4, four);
            assert!(own.starts_with(&table), "{}.wgsl: its {name} is not\n{table}", shader.stem);
            held += 1;
        }
    }
    assert!(held > 15, "{held} were held to it");
}
