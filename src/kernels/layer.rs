//! A layer as far as its speed goes: the key of what is measured.

use std::str::FromStr;

use crate::{
    graph::Conv,
    tensor::{DType, Shape},
};

/// What a layer computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// The dense convolution of the picture.
    Stem,
    /// A convolution of any window and groups.
    Conv,
    /// A convolution of each channel by itself.
    Depthwise,
    /// A 1x1 convolution.
    Pointwise,
    /// A depthwise convolution and the pointwise one behind it.
    Block,
    /// Pool and classifier.
    Head,
    /// The input, from a picture's bytes.
    Front,
}

impl Kind {
    /// Every kind, and how it is written.
    const ALL: [(Kind, &str); 7] = [
        (Kind::Stem, "stem"),
        (Kind::Conv, "conv"),
        (Kind::Depthwise, "depthwise"),
        (Kind::Pointwise, "pointwise"),
        (Kind::Block, "block"),
        (Kind::Head, "head"),
        (Kind::Front, "front"),
    ];

    /// Which shaders compute a convolution by itself.
    pub fn of(conv: &Conv) -> Kind {
        let slides = super::depthwise::takes(conv).is_ok();
        match () {
            () if conv.is_pointwise() => Kind::Pointwise,
            () if conv.is_depthwise() && slides => Kind::Depthwise,
            () if conv.groups == 1 && conv.src_c <= super::stem::MOST && slides => Kind::Stem,
            () => Kind::Conv,
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str(Kind::ALL[*self as usize].1)
    }
}

/// A layer as far as its speed goes: equal layers take the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Layer {
    /// What it computes.
    pub kind: Kind,
    /// What it reads, for one picture.
    pub src: Shape,
    /// What it writes, for one picture.
    pub dst: Shape,
    /// How maps and weights are stored.
    pub dtype: DType,
    /// Whether it may sum runs of products in the type of storage ([`Tuning::fast`](crate::plan::Tuning::fast)): another
    /// mode, other choices.
    pub fast: bool,
    /// Side and step of its window, for a block those of its depthwise layer; 1 and 1 where there is none.
    pub window: [usize; 2],
    /// [`Limits::matrix`](crate::plan::Limits::matrix), where it may compute on matrices; else 0.
    pub matrix: usize,
}

/// `depthwise 3/2 28x28x128 14x14x128 f32`, or `... f16-fast matrix 16`: as a file has it.
impl std::fmt::Display for Layer {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let Layer { kind, src, dst, dtype, fast, window: [side, step], matrix } = self;
        let maps = format!("{}x{}x{} {}x{}x{}", src.h, src.w, src.c, dst.h, dst.w, dst.c);
        write!(f, "{kind} {side}/{step} {maps} {dtype}{}", if *fast { "-fast" } else { "" })?;
        if *matrix > 0 { write!(f, " matrix {matrix}") } else { Ok(()) }
    }
}

impl FromStr for Layer {
    type Err = String;

    /// The layer that is written so.
    fn from_str(text: &str) -> Result<Layer, String> {
        let found = read(text).filter(|layer| layer.to_string() == text);
        found.ok_or_else(|| format!("no layer is written {text:?}"))
    }
}

fn read(text: &str) -> Option<Layer> {
    let numbers = |text: &str, between: char| -> Option<Vec<usize>> {
        text.split(between).map(|part| part.parse().ok()).collect()
    };
    let map = |text: &str| match numbers(text, 'x')?[..] {
        [h, w, c] => Some(Shape::new(1, h, w, c)),
        _ => None,
    };
    let words: Vec<&str> = text.split(' ').collect();
    let (&[kind, window, src, dst, mode], rest) = words.split_first_chunk()?;
    let (kind, _) = *Kind::ALL.iter().find(|(_, name)| *name == kind)?;
    let window = <[usize; 2]>::try_from(numbers(window, '/')?).ok()?;
    let stored = mode.strip_suffix("-fast");
    let dtype =
        [DType::F32, DType::F16].into_iter().find(|dtype| dtype.to_string() == stored.unwrap_or(mode))?;
    let matrix = match rest {
        [] => 0,
        ["matrix", size] => size.parse().ok()?,
        _ => return None,
    };
    let (src, dst) = (map(src)?, map(dst)?);
    Some(Layer { kind, src, dst, dtype, fast: stored.is_some(), window, matrix })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_lead_back_to_layers() {
        let (src, dst) = (Shape::new(1, 28, 27, 130), Shape::new(1, 14, 13, 5));
        for (kind, _) in Kind::ALL {
            for (dtype, fast, matrix) in
                [(DType::F32, false, 0), (DType::F16, true, 16), (DType::F16, false, 8)]
            {
                let layer = Layer { kind, src, dst, dtype, fast, window: [3, 2], matrix };
                assert_eq!(layer.to_string().parse(), Ok(layer));
            }
        }
        let text = "pointwise 1/1 28x27x130 14x13x5 f16-fast matrix 16";
        assert!(text.parse::<Layer>().is_ok());
        for (old, new) in [
            ("pointwise", "point"),
            ("1/1", "1"),
            ("1/1", "1/1/1"),
            ("28x", "+28x"),
            ("x5", "x5x5"),
            ("f16", "f8"),
            ("f16-fast", "fast"),
            (" matrix 16", " matrix"),
            (" matrix 16", " matrix 0"),
            (" matrix 16", " matrices 16"),
            (" ", "  "),
        ] {
            let odd = text.replacen(old, new, 1);
            assert_eq!(odd.parse::<Layer>(), Err(format!("no layer is written {odd:?}")));
        }
    }
}
