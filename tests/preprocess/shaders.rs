//! Both texts through naga, as they lie on disk and with f16.

use naga::valid::{Capabilities, ValidationFlags, Validator};

fn check(name: &str, text: &str) {
    let module =
        naga::front::wgsl::parse_str(text).unwrap_or_else(|e| panic!("{name}: {}", e.emit_to_string(text)));
    let mut validator = Validator::new(ValidationFlags::all(), Capabilities::SHADER_FLOAT16);
    validator.validate(&module).unwrap_or_else(|e| panic!("{name}: {}", e.emit_to_string(text)));
}

#[test]
fn texts_are_valid() {
    let (resize, normalize) =
        (include_str!("../../shaders/resize.wgsl"), include_str!("../../shaders/normalize.wgsl"));
    check("resize", resize);
    check("normalize", normalize);
    let half = normalize.replacen("alias Scalar = f32;", "alias Scalar = f16;", 1);
    assert_ne!(half, normalize);
    check("normalize f16", &format!("enable f16;\n{half}"));
}
