//! Where residuals are taken, and what a part gives there.

use crate::error::Result;
use crate::matrix::{Mat, Real};
use crate::parallel::Context;
use crate::regression::design::Design;
use crate::regression::design::parted::Units;
use crate::regression::design::pass::{Pass, Sides, pass_in_any_order};
use crate::regression::problem::Problem;
use crate::state::matrix;
use serde::{Deserialize, Serialize};

/// A question for B - A X of all rows.
#[derive(Serialize, Deserialize)]
pub(crate) struct Point {
    pub units: Units,
    /// d x k.
    #[serde(with = "matrix")]
    pub x: Mat<f64>,
    /// The targets of the first columns of x; others have zeros.
    pub targets: Vec<usize>,
    /// How many columns belong together.
    pub count: usize,
}

impl Point {
    /// True if it makes sense for d columns and k targets.
    pub fn fits(&self, d: usize, k: usize) -> bool {
        let known = self.targets.len() <= self.x.ncols() && self.targets.iter().all(|&target| target < k);
        known && self.x.nrows() == d && self.units.fit(d, k) && self.count >= self.x.ncols()
    }

    /// Of the rows of a problem; the same bits whichever way they are stored.
    pub fn pass<T: Real>(&self, context: &Context, problem: &Problem<'_, T>) -> Result<Pass> {
        let design = Design::of_part(context, problem, &self.units)?;
        pass_in_any_order(context, &design, &self.x, Sides::Among(&self.targets, self.count))
    }
}
