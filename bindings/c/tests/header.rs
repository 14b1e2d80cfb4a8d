//! The checked-in header is what cbindgen makes of the source. `UPDATE_SNAPSHOTS=1` writes it.

use std::{env, fs, path::Path};

#[test]
fn is_what_cbindgen_makes() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml")).expect("cbindgen.toml is sound");
    let builder = cbindgen::Builder::new().with_config(config).with_src(root.join("src/lib.rs"));
    let mut made = Vec::new();
    builder.generate().expect("the source can be read").write(&mut made);
    let made = String::from_utf8(made).expect("a header is UTF-8");
    let path = root.join("include/mobileone.h");
    if env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::write(&path, &made).expect("the header can be written");
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(made == kept, "{} is not what cbindgen makes: UPDATE_SNAPSHOTS=1 writes it", path.display());
    // Every function of the source is in it, once.
    let declared: Vec<&str> = kept.lines().filter(|line| !line.starts_with([' ', '/'])).collect();
    let mut functions = 0;
    for file in fs::read_dir(root.join("src")).expect("the source is there") {
        let path = file.expect("the source is there").path();
        let source = if path.is_file() {
            fs::read_to_string(&path).expect("the source can be read")
        } else {
            continue;
        };
        for (at, start) in source.match_indices("extern \"C\" fn mobileone_") {
            let name = "mobileone_".to_string() + source[at + start.len()..].split('(').next().unwrap_or("");
            let found = declared.iter().filter(|line| line.contains(&format!("{name}("))).count();
            assert_eq!(found, 1, "{name}");
            functions += 1;
        }
    }
    assert!(functions > 20, "{functions} functions were looked for");
}
