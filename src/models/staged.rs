//! Networks of a stem and stages of equal blocks, all of re-parameterized positions: read off a checkpoint's tensors.

use super::{
    Family, Form,
    builder::build,
    family::{Architecture, Built, Variant},
    position::{self, Kind, Position, Scheme, Stride},
    tensors::Tensors,
};
use crate::{
    Error, Result,
    checkpoint::{GivenStrides, Metadata, Strides},
};

/// What all networks of a family have in common.
#[derive(Debug)]
pub(super) struct Staged {
    /// What its branches are called.
    pub scheme: Scheme,
    /// The kind of the stem.
    pub stem: Kind,
    /// The positions of a block in running order. The first one bears the stride.
    pub block: &'static [Kind],
}

impl Staged {
    /// The network that `tensors` hold, in `form`.
    ///
    /// # Errors
    /// [`Error::Tensor`] when a tensor is missing, misshapen or contradicts another; [`Error::Metadata`] for strides that
    /// do not fit.
    pub fn read(
        &self,
        tensors: &mut Tensors,
        metadata: &Metadata,
        form: Form,
        family: &Family,
    ) -> Result<Built> {
        let scheme = &self.scheme;
        let main_weight = |tensors: &Tensors, name: &str| scheme.main_weight(tensors, name);
        let stages = tensors.positions_per_stage(main_weight)?;
        let per_block = self.block.len();
        if let Some((stage, &count)) = stages.iter().enumerate().find(|(_, count)| **count % per_block > 0) {
            let name = main_weight(tensors, &format!("stages.{stage}.{count}"));
            let [before, lacks] = [count - 1, count].map(|at| self.block[at % per_block].name());
            return Err(Error::Tensor {
                name,
                reason: format!("missing: the {before} before it has no {lacks}"),
            });
        }
        let mut given = metadata.strides.clone().unwrap_or_default();
        check_strides(&given, stages.len()).map_err(|reason| metadata.fault("strides", reason))?;
        given.stages.resize(stages.len(), None);

        let channels = position::channels(tensors, scheme)?;
        let stem = position::read(tensors, scheme, "stem", self.stem, channels, Stride::of(given.stem))?;
        let mut src_c = stem.conv.dst_c;
        let mut architecture = Architecture {
            family: family.names.family,
            variant: None,
            stem: src_c,
            widths: Vec::new(),
            blocks: stages.iter().map(|positions| positions / per_block).collect(),
            branches: None,
            squeezed: Vec::new(),
            classes: None,
            strides: Strides { stem: stem.conv.window.stride[0], stages: Vec::new() },
        };
        let mut known = given.clone();
        // A position has the branch exactly where it changes neither size nor channels, in a network that has them at all
        let has_identities = tensors.any_with(".identity.");
        known.proven |= has_identities;
        let mut positions = vec![stem];
        for (stage, count) in stages.into_iter().enumerate() {
            let first = positions.len();
            for index in 0..count {
                let name = format!("stages.{stage}.{index}");
                let stride = match index {
                    0 => Stride::of(given.stages[stage]),
                    _ => Stride::Given(1),
                };
                let kind = self.block[index % per_block];
                positions.push(position::read(tensors, scheme, &name, kind, src_c, stride)?);
                src_c = positions[first + index].conv.dst_c;
            }
            let squeezed = (0..count).filter(|index| positions[first + index].squeeze.is_some());
            architecture.squeezed.push(squeezed.collect());
            architecture.widths.push(src_c);
            let Position { conv, .. } = &positions[first];
            let shown = positions[first].branches().is_some() && conv.src_c == conv.dst_c;
            architecture.strides.stages.push(conv.window.stride[0]);
            if shown && has_identities {
                known.stages[stage] = Some(conv.window.stride[0]);
            }
            known.proven &= shown || given.proven;
        }
        architecture.branches = positions.iter().filter_map(Position::branches).max();
        architecture.classes = tensors.classifier(src_c)?;
        let dense = |position: &Position| matches!(position.conv.groups, 1) || position.conv.depth() == 1;
        if positions.iter().all(dense) {
            architecture.variant = self.variant(&architecture, family.variants);
        }
        let (graph, weights) = build(&positions, architecture.classes, tensors, form)?;
        Ok(Built { graph, weights, architecture, strides: known })
    }

    /// The variant that has these widths, blocks and squeeze-excite, whatever its classes and form.
    fn variant(&self, found: &Architecture, variants: &'static [Variant]) -> Option<&'static Variant> {
        let per_block = self.block.len();
        let squeezed = |variant: &Variant| -> Vec<Vec<usize>> {
            let last = variant.squeezed.iter().zip(variant.blocks);
            last.map(|(&last, &blocks)| (per_block * (blocks - last)..per_block * blocks).collect()).collect()
        };
        variants.iter().find(|variant| {
            (variant.stem, variant.widths, variant.blocks) == (found.stem, &*found.widths, &*found.blocks)
                && squeezed(variant) == found.squeezed
        })
    }
}

fn check_strides(given: &GivenStrides, stages: usize) -> Result<(), String> {
    if !given.stages.is_empty() && given.stages.len() != stages {
        return Err(format!(
            "expected {stages} after the stem's, one per stage, found {}",
            given.stages.len()
        ));
    }
    let mut all = std::iter::once(given.stem).chain(given.stages.iter().copied()).flatten();
    match all.find(|stride| !Strides::KNOWN.contains(stride)) {
        Some(stride) => Err(format!("a stride is 1 or 2, found {stride}")),
        None => Ok(()),
    }
}
