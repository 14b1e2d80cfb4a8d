//! Every shader as it lies on disk is a valid program.

use mobileone::kernels::SHADERS;

#[test]
fn files_are_valid_programs() {
    for shader in SHADERS {
        let module = naga::front::wgsl::parse_str(shader.text)
            .unwrap_or_else(|error| panic!("{}.wgsl: {}", shader.stem, error.emit_to_string(shader.text)));
        let mut validator = naga::valid::Validator::new(
            naga::valid::ValidationFlags::all(),
            naga::valid::Capabilities::default(),
        );
        validator
            .validate(&module)
            .unwrap_or_else(|error| panic!("{}.wgsl: {}", shader.stem, error.emit_to_string(shader.text)));
        assert!(shader.text.lines().count() <= 160, "{}.wgsl is too long to read at a glance", shader.stem);
    }
}
