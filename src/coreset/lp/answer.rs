//! An answer, and what was measured of it on all rows.

/// How far an objective is above its minimum.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gap {
    /// What was made least.
    pub objective: f64,
    /// It is above the minimum by no more than this.
    pub gap: f64,
    /// What rounding may have hidden of that.
    pub rounding: f64,
}

/// Coefficients, in the coordinates of the design.
pub(super) struct Answer {
    pub x: Vec<f64>,
    pub gap: Gap,
    pub n_iter: usize,
    /// Rows that were not globbed; all of them where none were.
    pub kept: usize,
    /// Times that signs were found wrong.
    pub rounds: usize,
}
