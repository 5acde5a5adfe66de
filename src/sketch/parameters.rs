//! Parameters of sketches in the words of the caller, to say in which of them two differ.

use super::hadamard::Weights;
use super::value::{Kind, Sketch};
use crate::error::{Error, Result};

/// A parameter with its value.
pub(crate) type Parameter = (&'static str, String);

/// An error that names the first parameter in which another stream differs, if it does in any.
pub(crate) fn same_parameters<const N: usize>(other: [Parameter; N], ours: [Parameter; N]) -> Result<()> {
    for ((name, found), (_, expected)) in other.into_iter().zip(ours) {
        if found != expected {
            let found = format!("a stream with {} {found}", if name == "rng" { "rng seed" } else { name });
            let expected = format!("{expected}; streams to be merged need the same `{name}`");
            return Err(Error::value("other", found, expected));
        }
    }
    Ok(())
}

/// A value that may be left to the library.
pub(crate) fn shown(value: Option<impl ToString>) -> String {
    value.map_or("None".into(), |value| value.to_string())
}

impl Kind {
    /// The family, by name.
    pub fn name(self) -> &'static str {
        match self {
            Self::SparseSign { .. } => "sparse_sign",
            Self::CountSketch => "count_sketch",
            Self::Srht => "srht",
            Self::Pht { .. } => "pht",
            Self::Gaussian => "gaussian",
        }
    }

    /// What its constructor takes beside the size.
    fn parameters(self) -> [Parameter; 4] {
        let (zeta, weights, chunk) = match self {
            Self::SparseSign { zeta } => (Some(zeta), None, None),
            Self::Pht { weights, chunk } => (None, Some(weights.name()), chunk),
            _ => (None, None, None),
        };
        [
            ("sketch", self.name().into()),
            ("zeta", shown(zeta)),
            ("weights", shown(weights)),
            ("chunk", shown(chunk)),
        ]
    }
}

impl Weights {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Signs => "signs",
            Self::Normals => "normals",
        }
    }
}

impl Sketch {
    pub(super) fn parameters(&self) -> [Parameter; 7] {
        let [kind, zeta, weights, chunk] = self.kind().parameters();
        let (m, n, seed) = (self.m().to_string(), shown(self.n()), self.seed().to_string());
        [kind, ("m", m), ("n", n), ("rng", seed), zeta, weights, chunk]
    }
}
