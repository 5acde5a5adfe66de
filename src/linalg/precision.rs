//! In which precision products are formed.

/// Precision of products.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Precision {
    /// `f32`, summed in `f64`.
    Single,
    /// `f64`.
    Double,
    /// Entries rounded to integers of so many digits in base 256, in units by column or by row, all whose products, or those
    /// above the rounding of the factors, are summed without an error: see `simd::digits`.
    Digits(usize),
}

impl std::fmt::Display for Precision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Single => "single",
            Self::Double => "double",
            Self::Digits(2) => "two digits",
            Self::Digits(3) => "three digits",
            Self::Digits(_) => "four digits",
        })
    }
}

impl Precision {
    /// Largest condition for which the factor of a Gram matrix may be used.
    ///
    /// One of integers is that of a matrix next to A: its error grows with the condition, and not with the square. Its
    /// limit is no proof that nothing was rounded away: `is_beyond_rounding` is asked too.
    pub(crate) fn limit(self) -> f64 {
        match self {
            Self::Single => 1e3,
            Self::Double => 1e7,
            Self::Digits(digits) if digits < 4 => 1e5,
            Self::Digits(_) => 1e7,
        }
    }
}
