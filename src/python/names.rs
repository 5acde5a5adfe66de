//! The words that callers type, and what in the core they stand for.

use crate::error::{Error, Result};
use crate::regression::{Method, Precision, Preconditioner, Robust};
use crate::sketch::{Kind, Weights};

/// What `name` stands for, or an error that lists the names that are known.
#[expect(clippy::disallowed_methods, reason = "a few words")]
pub fn named<T: Copy>(argument: &'static str, name: &str, known: &[(&str, T)]) -> Result<T> {
    known.iter().find(|(known, _)| *known == name).map(|&(_, value)| value).ok_or_else(|| {
        let names: Vec<&str> = known.iter().map(|&(name, _)| name).collect();
        Error::value(argument, format!("'{name}'"), format!("one of {}", names.join(", ")))
    })
}

/// The method of that name.
pub fn method_named(name: &str) -> Result<Method> {
    use Method::{Auto, FgmresWlsir, Fossils, Gram, Lsmr, Qr, Spir, Whitened};
    let known = [Auto, Gram, Whitened, Spir, Fossils, Lsmr, FgmresWlsir, Qr];
    named("method", name, &known.map(|method| (method.name(), method)))
}

/// The precision of that name.
pub fn precision_named(name: &str) -> Result<Precision> {
    named("dtype_work", name, &[("float32", Precision::Single), ("float64", Precision::Double)])
}

/// The preconditioner of that name.
pub fn preconditioner_named(name: &str) -> Result<Preconditioner> {
    let known = [Preconditioner::Split, Preconditioner::Left];
    named("preconditioner", name, &known.map(|preconditioner| (preconditioner.name(), preconditioner)))
}

/// The robust covariance of that name.
pub fn robust_named(name: &str) -> Result<Robust> {
    let known = [("HC0", Robust::Hc0), ("HC1", Robust::Hc1), ("HC2", Robust::Hc2), ("HC3", Robust::Hc3)];
    named("kind", name, &known)
}

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
