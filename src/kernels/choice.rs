//! A way with its tile: what is measured, kept in files, and planned.

use std::{cmp::Ordering, hash};

use super::{
    Kernel, Kind, Layer, Site,
    ways::{Needs, Tile, Way, choices},
};
use crate::{
    limits::Limits,
    tensor::{DType, Shape},
};

/// A way to compute a layer and its tile.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Choice {
    /// The way.
    pub way: &'static Way,
    /// Its tile.
    pub tile: Tile,
}

impl Choice {
    /// The choice that is called so, if the table has it.
    pub fn named(name: &str) -> Option<Choice> {
        choices().find(|choice| choice.to_string() == name)
    }

    /// What it computes.
    pub fn kind(self) -> Kind {
        self.way.kind
    }

    /// Whether it is of `way`, whatever its tile.
    pub fn is(self, way: &Way) -> bool {
        self.way == way
    }

    /// Whether the nodes of a layer run at once with it, where they could run by themselves.
    pub fn at_once(self) -> bool {
        self.way.kernel.is_some()
    }

    /// Whether the table has it.
    fn known(self) -> bool {
        self.way.tiles.contains(&self.tile)
    }

    /// Whether a device at hand has run it.
    pub fn seen(self) -> bool {
        self.known() && (self.way.seen)(self.tile)
    }

    /// What it needs for `layer`; `None` for a choice that the table does not have.
    pub fn needs(self, layer: &Layer) -> Option<Needs> {
        self.known().then(|| (self.way.needs)(layer, self.tile))
    }

    /// Whether it computes `layer` on a device of `limits`.
    pub fn fits(self, layer: &Layer, limits: &Limits) -> bool {
        let met = |needs: Needs| needs.met(limits) && needs.suit(layer);
        self.kind() == layer.kind && self.needs(layer).is_some_and(met)
    }

    /// Whether a device of `limits` computes small layers of the mode with it.
    pub fn suits(self, limits: &Limits, fast: bool) -> bool {
        let (map, matrix) = (Shape::new(1, 32, 32, 64), limits.matrix);
        let layer =
            |dtype| Layer { kind: self.kind(), src: map, dst: map, dtype, fast, window: [1, 1], matrix };
        [DType::F32, DType::F16].into_iter().any(|dtype| self.fits(&layer(dtype), limits))
    }

    /// What computes the nodes of `site` with it.
    ///
    /// # Errors
    /// What it does not take.
    pub fn kernel(self, site: &Site) -> Result<Kernel, String> {
        match self.way.kernel {
            Some(kernel) if self.known() => kernel(site, self.tile),
            _ => Err(format!("{} as {self}", site.checked.graph().label(site.last()))),
        }
    }

    /// Its place among all choices, by name.
    fn order(&self) -> (&'static str, Tile) {
        (self.way.name, self.tile)
    }
}

impl PartialEq for Choice {
    fn eq(&self, other: &Choice) -> bool {
        self.order() == other.order()
    }
}

impl Eq for Choice {}

impl PartialOrd for Choice {
    fn partial_cmp(&self, other: &Choice) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Choice {
    fn cmp(&self, other: &Choice) -> Ordering {
        self.order().cmp(&other.order())
    }
}

impl hash::Hash for Choice {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.order().hash(state);
    }
}

/// `split 4 by 4`: its name in files and in what is printed.
impl std::fmt::Display for Choice {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let mut sizes = self.tile.iter();
        for (at, part) in self.way.name.split("{}").enumerate() {
            match if at == 0 { None } else { sizes.next() } {
                Some(size) => write!(f, "{size}{part}")?,
                None => f.write_str(part)?,
            }
        }
        Ok(())
    }
}

impl std::fmt::Debug for Choice {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "{self}")
    }
}
