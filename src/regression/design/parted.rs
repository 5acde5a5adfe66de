//! Rows that come in parts: the design of one of them, and that of all, of which only what was learnt is at hand.

use crate::error::Result;
use crate::matrix::{Adjusted, Dense, Matrix, Real, Source};
use crate::memory::{copied, filled};
use crate::parallel::Context;
use crate::regression::design::{COLUMNS, Design, Spread};
use crate::regression::problem::Problem;
use serde::{Deserialize, Serialize};

/// How entries are adjusted, in every part alike.
#[derive(Serialize, Deserialize)]
pub(crate) struct Units {
    /// Means of the columns, if they are centred.
    pub means: Option<Vec<f64>>,
    /// Powers of two that columns are multiplied by, zeros for those that are left out.
    pub scale: Option<Vec<f64>>,
    pub target_means: Vec<f64>,
    pub target_scale: Vec<f64>,
}

/// What is known of all rows together.
pub(crate) struct Whole {
    /// Means of the columns, if they are centred.
    pub means: Option<Vec<f64>>,
    /// Norms of the columns, weighted and centred.
    pub lengths: Vec<f64>,
    pub constant: Vec<usize>,
    pub target_means: Vec<f64>,
    pub target_scale: Vec<f64>,
    pub target_norm: Vec<f64>,
    /// Norm of the root weights.
    pub weight_norm: f64,
    /// The largest root weight, and the least one that is not zero.
    pub heaviest: f64,
    pub lightest: f64,
    /// Rows of positive weight.
    pub present: usize,
    /// The largest ridge.
    pub ridge: f64,
}

impl<'a, 'm, T: Real> Design<'a, T, Matrix<'m, T>> {
    /// Of some rows, adjusted as all others are.
    pub fn of_part(
        context: &Context,
        problem: &Problem<'a, T, Matrix<'m, T>>,
        units: &Units,
    ) -> Result<Self> {
        let mut design = Self::weighted(context, problem)?;
        let Units { means, scale, target_means, target_scale } = units.copy()?;
        (design.a.means, design.a.scale) = (means, scale);
        (design.target_means, design.target_scale) = (target_means, target_scale);
        Ok(design)
    }
}

impl<T: Real, M: Source> Design<'_, T, M> {
    /// Of rows that are elsewhere.
    pub fn of_whole(source: M, whole: Whole) -> Result<Self> {
        let mut a = Adjusted::new(source);
        if !whole.constant.is_empty() {
            let mut scale = filled(1.0, whole.lengths.len(), COLUMNS)?;
            whole.constant.iter().for_each(|&column| scale[column] = 0.0);
            a.scale = Some(scale);
        }
        a.means = whole.means;
        let Whole { heaviest, lightest, present, .. } = whole;
        let mut design = Self {
            a,
            targets: Dense::column_major(&[], 0, whole.target_norm.len()),
            weights: None,
            weight_norm: whole.weight_norm,
            spread: Spread { heaviest, lightest: (lightest / heaviest).min(1.0), present },
            target_means: whole.target_means,
            constant: whole.constant,
            target_scale: whole.target_scale,
            target_norm: whole.target_norm,
            root_ridge: whole.ridge.sqrt(),
            first_read: None,
            row_gram: None,
        };
        design.equilibrate_columns(&whole.lengths)?;
        Ok(design)
    }
}

impl<T: Real, M: Source> Design<'_, T, M> {
    /// How its entries are adjusted.
    pub fn units(&self) -> Result<Units> {
        let copy = |numbers: &Option<Vec<f64>>| numbers.as_ref().map(|v| copied(v, COLUMNS)).transpose();
        Ok(Units {
            means: copy(&self.a.means)?,
            scale: copy(&self.a.scale)?,
            target_means: copied(&self.target_means, COLUMNS)?,
            target_scale: copied(&self.target_scale, COLUMNS)?,
        })
    }
}

impl Units {
    /// An independent copy, as an error-returning `clone`.
    fn copy(&self) -> Result<Self> {
        let copy = |numbers: &Option<Vec<f64>>| numbers.as_ref().map(|v| copied(v, COLUMNS)).transpose();
        Ok(Self {
            means: copy(&self.means)?,
            scale: copy(&self.scale)?,
            target_means: copied(&self.target_means, COLUMNS)?,
            target_scale: copied(&self.target_scale, COLUMNS)?,
        })
    }

    /// True if there is one for each of d columns and k targets.
    pub fn fit(&self, d: usize, k: usize) -> bool {
        let fit = |numbers: &Option<Vec<f64>>| numbers.as_ref().is_none_or(|numbers| numbers.len() == d);
        fit(&self.means) && fit(&self.scale) && (self.target_means.len(), self.target_scale.len()) == (k, k)
    }
}
