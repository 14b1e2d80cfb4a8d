//! Both texts through naga to each backend's language, as they lie on disk and with f16.

use naga::{
    ShaderStage,
    back::{glsl, hlsl, msl, spv},
    proc::BoundsCheckPolicies,
    valid::{Capabilities, ValidationFlags, Validator},
};

/// `text` is valid and can be said in every language; GLSL has no f16.
fn check(name: &str, text: &str, has_glsl: bool) {
    let module = naga::front::wgsl::parse_str(text);
    let module = module.unwrap_or_else(|error| panic!("{name}: {}", error.emit_to_string(text)));
    let mut validator = Validator::new(ValidationFlags::all(), Capabilities::SHADER_FLOAT16);
    let info = validator.validate(&module);
    let info = info.unwrap_or_else(|error| panic!("{name}: {}", error.emit_to_string(text)));

    let words = spv::write_vec(&module, &info, &spv::Options::default(), None).expect(name);
    assert!(words.len() > 100, "{name}");
    let (text, _) =
        msl::write_string(&module, &info, &msl::Options::default(), &msl::PipelineOptions::default())
            .expect(name);
    assert!(text.contains("kernel void"), "{name}");
    let mut text = String::new();
    let options = hlsl::Options::default();
    let pipeline = hlsl::PipelineOptions::default();
    hlsl::Writer::new(&mut text, &options, &pipeline).write(&module, &info, None).expect(name);
    assert!(text.contains("numthreads(64, 1, 1)"), "{name}");
    if has_glsl {
        let mut text = String::new();
        let options = glsl::Options { version: glsl::Version::new_gles(310), ..Default::default() };
        let pipeline = glsl::PipelineOptions {
            shader_stage: ShaderStage::Compute,
            entry_point: "main".into(),
            multiview: None,
        };
        let policies = BoundsCheckPolicies::default();
        let writer = glsl::Writer::new(&mut text, &module, &info, &options, &pipeline, policies);
        writer.expect(name).write().expect(name);
        assert!(text.contains("local_size_x = 64"), "{name}");
    }
}

#[test]
fn texts_are_valid_everywhere() {
    let resize = include_str!("../../shaders/resize.wgsl");
    let normalize = include_str!("../../shaders/normalize.wgsl");
    check("resize", resize, true);
    check("normalize", normalize, true);
    let half = normalize.replacen("alias Scalar = f32;", "alias Scalar = f16;", 1);
    assert_ne!(half, normalize);
    check("normalize f16", &format!("enable f16;\n{half}"), false);
}
