//! The largest channels of a vector.

use super::{Kernel, Shader, Site, shader};

/// The shader.
pub const SHADER: Shader = shader!("top");

/// The largest that the kernel finds at most: a software device may end loops of many rounds before their time.
pub const MOST: usize = 64;

/// The kernel that finds the `k` largest of a vector, each with its softmax where `softmax` says so, else with itself.
pub(super) fn kernel(site: &Site, k: usize, softmax: bool) -> Result<Kernel, String> {
    if k > MOST {
        return Err(format!("the best {k} of a vector, {MOST} at most"));
    }
    let src = site.src();
    Ok(Kernel {
        shader: &SHADER,
        head: vec![
            ("Src", site.scalar().into()),
            ("C", src.c.into()),
            ("C4", src.c4().into()),
            ("TOP", k.into()),
            ("SOFTMAX", softmax.into()),
        ],
        functions: Vec::new(),
        workgroups: 1,
        ports: vec![(0, site.read(0)), (3, site.write())],
    })
}
