//! Exported folders: what stands in them, and that a Vulkan program which knows nothing else gets the same logits.

use std::{collections::BTreeSet, fs, path::PathBuf};

use mobileone::{
    Checkpoint, DType, Form, Model, Options, Outputs, Shape,
    export::{ALIGNMENT, Export, Manifest, PLAN, Target, WEIGHTS, export, manifest},
    kernels::{choices, ways},
    models::mobileone::{VARIANTS, synthetic},
    plan::{self, Limits, Plan, Tuning},
    tasks::classify,
};

use crate::dxc::Text;

#[cfg(all(feature = "gpu", feature = "image"))]
mod on_vulkan;
#[cfg(all(feature = "gpu", feature = "image"))]
#[path = "../examples/vulkan/main.rs"]
#[allow(dead_code)]
mod vulkan;

fn data(name: &str, form: Form) -> Model {
    let path = format!("{}/tests/data/{name}.safetensors", env!("CARGO_MANIFEST_DIR"));
    Model::new(Checkpoint::open(path).unwrap(), form).unwrap()
}

/// A network of odd widths, one with squeeze-excite, one with its branches, one without a classifier, and S0.
fn models() -> Vec<Model> {
    vec![
        data("odd.timm.fused", Form::Fused),
        data("se.timm.fused", Form::Fused),
        data("se.timm.train", Form::Train),
        data("odd.apple.encoder", Form::Fused),
        Model::new(synthetic(&VARIANTS[0], 1000, 0), Form::Fused).unwrap(),
    ]
}

fn options(model: &Model, dtype: DType, batch: usize) -> Options {
    let own = model.graph.outputs.iter().map(|output| output.name.as_str());
    let probabilities = model.graph.classes().map(|_| "probabilities");
    let outputs = Outputs::named(own.chain(probabilities)).and_best(5);
    let mut options = Options { dtype, batch, outputs, ..Options::of(model) };
    options.preprocess.size = (64, 80);
    options
}

fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("export-{name}"));
    let _ = fs::remove_dir_all(&folder);
    folder
}

#[test]
fn the_json_says_what_the_plan_says() {
    for model in models() {
        for dtype in [DType::F32, DType::F16] {
            let options = options(&model, dtype, 3);
            let limits = limits!(Limits::LEAST, subgroup: 8, class: plan::Class::Software);
            for target in Target::ALL {
                let files = export(&model, &options, limits, target).unwrap();
                let limits = limits!(limits, macs_per_second: 1 << 50);
                let limits = if target == Target::Spirv { limits } else { limits!(limits, subgroup: 0) };
                let input = Shape::new(1, 64, 80, 3);
                let graph = classify::give(&model.graph, &options.outputs).unwrap();
                let plan = Plan::new(&graph, &model.weights, input, dtype, limits, &options.tuning).unwrap();
                compare(&files, &plan, &model, limits);
            }
        }
    }
}

fn compare(files: &Export, plan: &Plan, model: &Model, limits: Limits) {
    let said = &files.manifest;
    assert_eq!(files.files[0].0, PLAN);
    assert_eq!(serde_json::from_slice::<Manifest>(&files.files[0].1).unwrap(), *said);
    let names: Vec<&str> = files.files[1..].iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(said.files, names);
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
    assert_eq!((said.batch, said.max_batch), (3, plan.max_batch));

    let sizes: Vec<usize> = said.slots.iter().map(|slot| slot.bytes).collect();
    assert_eq!(sizes, plan.slots);
    let (_, packed) = files.files.iter().find(|(name, _)| name == WEIGHTS).unwrap();
    assert_eq!((packed.len(), packed.len() % ALIGNMENT), (said.weights.bytes, 0));
    let mut end = 0;
    for (said, param) in said.params.iter().zip(&plan.params) {
        assert_eq!((said.offset % ALIGNMENT, &said.name, said.bytes), (0, &param.name, param.size()));
        assert!(said.offset >= end && said.offset < end + ALIGNMENT, "{said:?}");
        end = said.offset + said.bytes;
        assert_eq!(packed[said.offset..end], param.bytes(&model.weights).unwrap());
    }
    assert_eq!(said.params.len(), plan.params.len());

    let mut used = BTreeSet::new();
    for (said_one, dispatch) in said.dispatches.iter().zip(&plan.dispatches) {
        assert_eq!((&said_one.label, said_one.workgroups), (&dispatch.label, limits.grid(dispatch, 1)));
        let kernel = &said.kernels[said_one.kernel];
        used.insert(said_one.kernel);
        assert!(kernel.file.contains(&dispatch.kernel.shader.stem.replace('_', "-")), "{}", kernel.file);
        assert!(kernel.counts.is_none(), "the grid stands in the text");
        let mut bound: Vec<_> = dispatch.bindings.clone();
        bound.sort_by_key(|binding| binding.index);
        let slots = |written| {
            let of = bound.iter().filter(move |binding| binding.written == written);
            of.filter_map(
                |binding| if let plan::Buffer::Slot(slot) = binding.buffer { Some(slot) } else { None },
            )
        };
        assert!(slots(true).all(|slot| slots(false).all(|other| other != slot)), "{}", said_one.label);
        let (ports, bindings) = (&kernel.bindings, &said_one.bindings);
        assert_eq!((ports.len(), bindings.len()), (bound.len(), bound.len()));
        for ((said, port), bound) in bindings.iter().zip(ports).zip(&bound) {
            let buffer = match bound.buffer {
                plan::Buffer::Slot(at) => manifest::Buffer::Slot(at),
                plan::Buffer::Param(at) => manifest::Buffer::Param(at),
            };
            assert_eq!((said.binding, said.buffer, said.written), (bound.index, buffer, bound.written));
            let access = if bound.written { manifest::Access::Write } else { manifest::Access::Read };
            assert_eq!((port.binding, port.access), (bound.index, access));
        }
    }
    assert_eq!(said.dispatches.len(), plan.dispatches.len());
    assert_eq!(used.len(), said.kernels.len(), "every kernel is run by some dispatch");

    let input = plan.place(0);
    assert_eq!((said.input.slot, said.input.bytes, said.input.channels), (input.slot, input.bytes(), 4));
    for (said, output) in said.outputs.iter().zip(&plan.outputs) {
        let place = plan.place(output.node);
        let Shape { h, w, c, .. } = place.shape;
        assert_eq!((&said.name, said.slot, said.shape), (&output.name, place.slot, [h, w, c]));
        assert_eq!((said.channels, said.bytes), (c.next_multiple_of(4), place.bytes()));
        assert_eq!(said.dtype, place.dtype.to_string());
    }
    let names: Vec<&str> = said.outputs.iter().map(|output| output.name.as_str()).collect();
    let wanted = ["features", "logits", "probabilities", "top"];
    assert_eq!(names, if model.graph.classes().is_some() { &wanted[..] } else { &wanted[..1] });
    assert_eq!(said.requires.f16, said.dtype == "f16");
    let most =
        said.slots.iter().map(|slot| slot.bytes * 3).chain(said.params.iter().map(|param| param.bytes));
    assert_eq!(said.requires.binding, most.max().unwrap());
    assert!(said.requires.workgroup_memory as usize <= limits.shared && said.requires.invocations <= 256);
    assert!(said.requires.storage_buffers <= limits.storage_buffers);
}

#[test]
fn every_choice_is_sound_in_every_language() {
    let spirv_val = crate::shaders::has_spirv_val();
    let fused = data("se.timm.fused", Form::Fused);
    let train = data("se.timm.train", Form::Train);
    let mut seen = BTreeSet::new();
    let mut direct3d = Vec::new();
    for (at, choice) in choices().enumerate() {
        // Branches know no choices.
        let models = if at == 0 { vec![&fused, &train] } else { vec![&fused] };
        let subgroup = if choice.is(&ways::SUBGROUP) { choice.tile[1] } else { 0 };
        let limits = limits!(Limits::LEAST, subgroup: subgroup, matrix: 8, storage_buffers: 8);
        for (model, dtype) in models.into_iter().flat_map(|model| [(model, DType::F32), (model, DType::F16)])
        {
            let tuning = Tuning { fast: choice.is(&ways::FAST), ..Tuning::only(choice) };
            let options = Options { tuning, ..options(model, dtype, 1) };
            for target in Target::ALL {
                let files = export(model, &options, limits, target).unwrap();
                let preprocess = &files.manifest.preprocess;
                let kernels =
                    files.manifest.kernels.iter().chain([&preprocess.resize, &preprocess.normalize]);
                for kernel in kernels {
                    assert!(!kernel.file.contains("matrix"), "matrices are experimental");
                    let (_, bytes) = files.files.iter().find(|(name, _)| *name == kernel.file).unwrap();
                    if seen.insert(bytes.clone()) {
                        check(target, kernel, bytes, spirv_val);
                        if target == Target::Hlsl {
                            direct3d.push(hlsl(kernel, bytes, dtype));
                        }
                    }
                }
            }
        }
    }
    assert!(seen.len() > 500, "{}", seen.len());
    crate::dxc::check(&direct3d);
}

/// A kernel as it says itself that it is to be compiled.
fn hlsl(kernel: &manifest::Kernel, bytes: &[u8], dtype: DType) -> Text {
    let hlsl = String::from_utf8(bytes.to_vec()).unwrap();
    let (profile, flag) =
        if dtype == DType::F16 { ("cs_6_2", " -enable-16bit-types") } else { ("cs_6_0", "") };
    let (entry_point, year) = (kernel.entry_point.clone(), "2018");
    let said = format!("// dxc -HV {year} -T {profile}{flag} -E {entry_point}\n");
    assert!(hlsl.starts_with(&said), "{}: no {said}", kernel.file);
    Text { name: kernel.file.clone(), hlsl, entry_point, profile, year }
}

/// What `mobileone export` writes of S0 to S4, with the kernels of the pictures, as Direct3D's compiler takes it.
#[test]
fn direct3d_compiles_every_variant() {
    let mut seen = BTreeSet::new();
    let mut texts = Vec::new();
    for (variant, dtype) in VARIANTS.iter().flat_map(|one| [(one, DType::F32), (one, DType::F16)]) {
        let model = Model::new(synthetic(variant, 1000, 0), Form::Fused).unwrap();
        for batch in [1, 4] {
            let outputs = Outputs::named(["logits", "probabilities", "features"]).and_best(5);
            let options = Options { dtype, batch, outputs, ..Options::of(&model) };
            let files = export(&model, &options, Limits::LEAST, Target::Hlsl).unwrap();
            let preprocess = &files.manifest.preprocess;
            for kernel in files.manifest.kernels.iter().chain([&preprocess.resize, &preprocess.normalize]) {
                let (_, bytes) = files.files.iter().find(|(name, _)| *name == kernel.file).unwrap();
                if seen.insert(bytes.clone()) {
                    texts.push(hlsl(kernel, bytes, dtype));
                }
            }
        }
    }
    assert!(texts.len() > 100, "{}", texts.len());
    crate::dxc::check(&texts);
}

/// Judges a file by itself.
fn check(target: Target, kernel: &manifest::Kernel, bytes: &[u8], spirv_val: bool) {
    let name = &kernel.file;
    let has = |text: &str, wanted: String| assert!(text.contains(&wanted), "{name}: no {wanted} in\n{text}");
    match target {
        Target::Wgsl => {
            let text = std::str::from_utf8(bytes).unwrap();
            crate::shaders::validate(name, text);
            has(text, format!("fn {}(", kernel.entry_point));
            for port in &kernel.bindings {
                has(text, format!("@group(0) @binding({}) var<", port.binding));
            }
            assert!(!text.contains("subgroup"), "{name}: browsers want an extension for subgroups");
        }
        Target::Spirv => {
            if spirv_val {
                crate::shaders::check_spirv(name, bytemuck::cast_slice(bytes), false);
            }
        }
        Target::Msl => {
            let text = std::str::from_utf8(bytes).unwrap();
            has(text, format!("kernel void {}(", kernel.entry_point));
            for port in &kernel.bindings {
                let manifest::At::Buffer { buffer } = port.at else { panic!("{name}: {port:?}") };
                has(text, format!("[[buffer({buffer})]]"));
            }
            assert_eq!(text.matches("[[buffer(").count(), kernel.bindings.len(), "{name}:\n{text}");
            let main = &text[text.find("kernel void").unwrap()..];
            let shared = main[..main.find(") {").unwrap()].matches("threadgroup type").count();
            assert_eq!(shared, kernel.workgroup_memory.len(), "{name}:\n{text}");
            assert!(!text.contains("simd_"), "{name}: simdgroups vary");
        }
        Target::Hlsl => {
            let text = std::str::from_utf8(bytes).unwrap();
            has(text, format!("void {}(", kernel.entry_point));
            for port in &kernel.bindings {
                let manifest::At::Register { register, space: 0 } = &port.at else {
                    panic!("{name}: {port:?}")
                };
                has(text, format!("register({register})"));
            }
            let constants = if kernel.counts.is_some() { 1 } else { 0 };
            assert_eq!(text.matches(": register(").count(), kernel.bindings.len() + constants, "{name}");
            assert_eq!(text.contains("register(b0, space1)"), kernel.counts.is_some(), "{name}");
            assert!(!text.contains("Wave"), "{name}: waves vary");
        }
        other => panic!("nobody judges {other:?}"),
    }
}

#[test]
fn what_cannot_be_exported_is_said() {
    let model = data("odd.timm.fused", Form::Fused);
    let said =
        |options: &Options| export(&model, options, Limits::LEAST, Target::Wgsl).unwrap_err().to_string();
    let good = options(&model, DType::F32, 1);
    assert!(
        said(&Options { batch: 0, ..good.clone() }).starts_with("a batch of 0: these limits allow 1 to 64")
    );
    assert!(said(&Options { batch: 65, ..good.clone() }).starts_with("a batch of 65"));
    let mut other = good.clone();
    other.outputs = Outputs::named(["boxes"]);
    assert!(said(&other).contains("there is no output \"boxes\", only features, logits, probabilities"));
    let mut small = good.clone();
    small.preprocess.size = (0, 80);
    assert!(said(&small).contains("input size 0x80"));
}

#[test]
fn a_folder_is_written_whole_or_not_at_all() {
    let model = data("odd.timm.fused", Form::Fused);
    let f32 = export(&model, &options(&model, DType::F32, 1), Limits::LEAST, Target::Wgsl).unwrap();
    let spirv = export(&model, &options(&model, DType::F32, 1), Limits::LEAST, Target::Spirv).unwrap();
    let here = folder("whole");
    let names = |at: &PathBuf| -> BTreeSet<String> {
        fs::read_dir(at).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    let of = |files: &Export| files.files.iter().map(|(name, _)| name.clone()).collect::<BTreeSet<_>>();
    let at = here.join("a/b");
    f32.write(&at, false).unwrap();
    assert_eq!(names(&at), of(&f32));
    for (name, bytes) in &f32.files {
        assert_eq!(fs::read(at.join(name)).unwrap(), *bytes);
    }
    // Refused, and left as it was; replaced by force.
    let said = spirv.write(&at, false).unwrap_err().to_string();
    assert!(said.contains("not empty") && said.contains("--force"), "{said}");
    assert_eq!(names(&at), of(&f32));
    spirv.write(&at, true).unwrap();
    assert_eq!(names(&at), of(&spirv));
    // What somebody else put there is never removed.
    fs::write(at.join("mine.txt"), "mine").unwrap();
    let said = f32.write(&at, true).unwrap_err().to_string();
    assert!(said.contains("\"mine.txt\" in it is no file of an export"), "{said}");
    assert_eq!(names(&at).len(), spirv.files.len() + 1);
    // An empty folder is taken; one that is no export is not, even by force; nor is a file.
    let (empty, full) = (here.join("empty"), here.join("full"));
    fs::create_dir(&empty).unwrap();
    f32.write(&empty, false).unwrap();
    fs::create_dir(&full).unwrap();
    fs::write(full.join("plan.json"), "{\"files\": [\"plan.json\"]}").unwrap();
    assert!(f32.write(&full, true).unwrap_err().to_string().contains("\"plan.json\" in it"));
    let file = here.join("file");
    fs::write(&file, "").unwrap();
    for path in [file.clone(), file.join("below")] {
        let said = f32.write(&path, true).unwrap_err().to_string();
        assert!(said.starts_with(&path.display().to_string()), "{said}");
    }
    assert_eq!(f32.write("", true).unwrap_err().to_string(), "name the folder to export to");
    // Nothing unfinished is left behind.
    assert_eq!(names(&here), ["a", "empty", "full", "file"].map(String::from).into());
    assert_eq!(names(&here.join("a")), ["b".to_string()].into());
}
