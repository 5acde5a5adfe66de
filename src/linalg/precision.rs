//! In which precision products are formed.

/// Precision of products.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Precision {
    /// `f32`, summed in `f64`.
    Single,
    /// `f64`.
    Double,
}

impl Precision {
    /// Largest condition for which the factor of a Gram matrix may be used.
    pub(crate) fn limit(self) -> f64 {
        match self {
            Self::Single => 1e3,
            Self::Double => 1e7,
        }
    }
}
