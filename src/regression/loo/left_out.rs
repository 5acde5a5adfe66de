//! Leave-one-out residuals of rows that come in parts: sums of their squares, by what the factor of all rows tells.

use crate::error::Result;
use crate::linalg::{self, rank_of};
use crate::matrix::{Mat, Real, Source};
use crate::memory::{collected, copied};
use crate::parallel::Context;
use crate::regression::design::Design;
use crate::regression::design::parted::Units;
use crate::regression::loo::{Spectrum, Steps, Vectors, sums_of_squares};
use crate::regression::problem::Problem;
use crate::state::matrix;
use serde::{Deserialize, Serialize};

/// What a part needs to know of all rows.
#[derive(Serialize, Deserialize)]
pub(crate) struct LeftOut {
    units: Units,
    alphas: Vec<f64>,
    /// S^2, V S^-1 and U'B of A = U S V'.
    squares: Vec<f64>,
    #[serde(with = "matrix")]
    whitener: Mat<f64>,
    #[serde(with = "matrix")]
    coordinates: Mat<f64>,
    /// Whether U is all of space.
    complete: bool,
    /// Infinite without an intercept.
    weight_norm: f64,
}

impl LeftOut {
    /// From R of [A, B].
    pub fn new<T: Real, M: Source>(design: &Design<'_, T, M>, r: &Mat<f64>, alphas: &[f64]) -> Result<Self> {
        let (d, k) = (design.ncols(), design.ntargets());
        let svd = linalg::svd(Mat::from_fn(d, d, |i, j| r[(i, j)])?.as_ref())?;
        let rank = rank_of(&svd.s, design.cut_off()).min(design.most_rank());
        let images = Mat::from_fn(d, k, |i, target| r[(i, d + target)])?;
        let left = Mat::from_fn(rank, d, |i, j| svd.u[(j, i)])?;
        let intercept = design.means().is_some();
        Ok(Self {
            units: design.units()?,
            alphas: copied(alphas, "ridges")?,
            squares: collected(svd.s[..rank].iter().map(|s| s * s), "singular values")?,
            whitener: Mat::from_fn(d, rank, |i, j| svd.v[(i, j)] / svd.s[j])?,
            coordinates: linalg::product(left.as_ref(), images.as_ref())?,
            complete: rank + usize::from(intercept) >= design.rows_present(),
            weight_norm: if intercept { design.weight_norm() } else { f64::INFINITY },
        })
    }

    /// True if it makes sense for d columns and k targets.
    pub fn fits(&self, d: usize, k: usize) -> bool {
        let rank = self.squares.len();
        let [whitener, coordinates] = [&self.whitener, &self.coordinates].map(|m| (m.nrows(), m.ncols()));
        self.units.fit(d, k) && whitener == (d, rank) && coordinates == (rank, k)
    }

    /// Of the rows of a problem, alphas x k in the units of the solvers.
    pub fn squares<T: Real>(&self, context: &Context, problem: &Problem<'_, T>) -> Result<Mat<f64>> {
        let design = Design::of_part(context, problem, &self.units)?;
        let spectrum = Spectrum {
            squares: copied(&self.squares, "singular values")?,
            vectors: Vectors::Whitener(self.whitener.copy()?),
            coordinates: self.coordinates.copy()?,
            is_steady: false,
            products: None,
        };
        let steps = Steps::of(&design, None, &self.alphas, spectrum, self.complete, self.weight_norm)?;
        sums_of_squares(context, &steps)
    }
}
