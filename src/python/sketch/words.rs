//! The names of sketches.

use crate::error::Result;
use crate::python::convert::named;
use crate::sketch::{Kind, Weights};

/// The families of sketches by the names that functions take; classes have theirs without the weights.
const KINDS: [(&str, Kind); 6] = [
    ("sparse_sign", Kind::SparseSign { zeta: 8 }),
    ("count_sketch", Kind::CountSketch),
    ("srht", Kind::Srht),
    ("pht", Kind::Pht { weights: Weights::Signs, chunk: None }),
    ("gaussian", Kind::Gaussian),
    ("pht_normals", Kind::Pht { weights: Weights::Normals, chunk: None }),
];

/// The sketch of that name, as functions take it, with the parameters that they give it.
pub fn sketch_named(name: &str) -> Result<Kind> {
    named("sketch", name, &KINDS)
}

/// The name that [`sketch_named`] takes, if there is one.
pub fn name_of_sketch(kind: Kind) -> Option<&'static str> {
    KINDS.iter().find(|(_, known)| *known == kind).map(|&(name, _)| name)
}
