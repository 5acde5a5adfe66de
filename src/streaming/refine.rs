//! A second pass: one step of the power method from what the first has found.
//!
//! With V from the stream and Z = A'A V, the pencil (Z'Z, V'Z) has eigenvalues between those of V'A'A V and those of A'A, and
//! angles shrink by about the gap. |Z - V (V'Z)| says how far V was from an invariant subspace.

use crate::error::{Error, Result};
use crate::linalg::{cholesky, times_power_of_two};
use crate::matrix::{Mat, Rows};
use crate::memory::zeros;
use crate::parallel::Context;
use crate::simd::{add_outer, axpy, small_product};
use crate::streaming::numbers::Numbers;
use crate::streaming::rows::CHUNK;
use crate::streaming::stack::rows_of;
use crate::streaming::tall::{inner, leading_pairs, over_upper, times, transposed};

/// V, Z and the mean that rows are taken less.
pub struct Refinement {
    d: usize,
    k: usize,
    /// Components that are not zero, of which V, d x k, has one column each.
    asked: usize,
    v: Numbers,
    z: Numbers,
    mean: Option<Vec<f64>>,
    /// Rows are divided by two to this power.
    unit: i32,
}

/// What a second pass gives.
pub struct Refined {
    /// Orthonormal rows, or zero as they were before.
    pub components: Vec<f64>,
    /// What the pencil says, descending.
    pub eigenvalues: Vec<f64>,
    /// |A'A v - v (v'A'A v)| of the former first component.
    pub residual: f64,
    /// v'A'A v of that.
    pub rayleigh: f64,
    /// The former over the latter.
    pub relative: f64,
}

impl Refinement {
    /// Of orthonormal rows, the last of which may be zero.
    pub fn new(components: &[f64], d: usize, mean: Option<Vec<f64>>, unit: i32) -> Result<Self> {
        let asked = components.len() / d.max(1);
        let k = components.chunks_exact(d.max(1)).filter(|row| row.iter().any(|x| *x != 0.0)).count();
        let v = transposed(&components[..k * d], k, d)?;
        Ok(Self { d, k, asked, z: Numbers::zeros(v.len())?, v, mean, unit })
    }

    /// Takes rows in, with the roots of their weights.
    pub fn add(&mut self, context: &Context, block: &dyn Rows, roots: Option<&[f64]>) -> Result<()> {
        let (d, k) = (self.d, self.k);
        if block.ncols() != d {
            return Err(Error::shape("X", format!("{} columns", block.ncols()), format!("{d}, as before")));
        }
        if k == 0 {
            return Ok(());
        }
        let (mut tile, mut own) = (Vec::new(), zeros::<f64>(CHUNK * d, "rows")?);
        let mut along = zeros(CHUNK * k, "products of rows")?;
        for first in (0..block.nrows()).step_by(CHUNK) {
            context.tick()?;
            let piece = first..block.nrows().min(first + CHUNK);
            let rows = block.tile(piece.clone(), 0..d, &mut tile)?;
            let m = piece.len();
            for (i, to) in own.chunks_exact_mut(d.max(1)).take(m).enumerate() {
                to.copy_from_slice(rows.stored_row(i));
                if let Some(mean) = &self.mean {
                    axpy(-1.0, mean, to);
                }
                if let Some(roots) = roots {
                    to.iter_mut().for_each(|number| *number *= roots[first + i]);
                }
                if self.unit != 0 {
                    to.iter_mut().for_each(|number| *number = times_power_of_two(*number, -self.unit));
                }
            }
            small_product((m, k, d), &own, (d, 1), &self.v, &mut along[..m * k], false);
            add_outer(&own, d, &along[..m * k], k, &mut self.z);
        }
        if self.z.iter().any(|number| !number.is_finite()) {
            return Err(Error::value("X", "an array with squares out of range, or NaN", "finite numbers"));
        }
        Ok(())
    }

    /// The step.
    pub fn finish(self, context: &Context) -> Result<Refined> {
        let (d, k) = (self.d, self.k);
        if k == 0 {
            let (components, eigenvalues) =
                (zeros(self.asked * d, "components")?, zeros(self.asked, "eigenvalues")?);
            return Ok(Refined { components, eigenvalues, residual: 0.0, rayleigh: 0.0, relative: f64::NAN });
        }
        let core = inner(&self.v, k, &self.z, k)?;
        let core = Mat::from_fn(k, k, |i, j| 0.5 * (core[i * k + j] + core[j * k + i]))?;
        let mut residual = Numbers::zeros(d)?;
        for (i, number) in residual.iter_mut().enumerate() {
            *number = self.z[i * k] - (0..k).map(|j| self.v[i * k + j] * core[(j, 0)]).sum::<f64>();
        }
        let (residual, rayleigh) = (crate::linalg::norm(&residual), core[(0, 0)]);
        let relative = residual / rayleigh;
        let [residual, rayleigh] = [residual, rayleigh].map(|x| times_power_of_two(x, 2 * self.unit));
        let whole = |value: f64| times_power_of_two(value.max(0.0), 2 * self.unit);
        let mut eigenvalues = zeros(self.asked, "eigenvalues")?;
        let Some(r) = cholesky(&core)? else {
            let components = transposed(&self.v, d, k)?;
            let mut all = zeros(self.asked * d, "components")?;
            all[..k * d].copy_from_slice(&components);
            (0..k).for_each(|j| eigenvalues[j] = whole(core[(j, j)]));
            return Ok(Refined { components: all, eigenvalues, residual, rayleigh, relative });
        };
        let half = over_upper(&self.z, k, &r)?;
        let (values, turn) = leading_pairs(&inner(&half, k, &half, k)?, k, k)?;
        let mut directions = Numbers::zeros(self.z.len())?;
        times(&half, k, &turn, k, &mut directions, false);
        eigenvalues.iter_mut().zip(&values).for_each(|(to, value)| *to = whole(*value));
        let components = rows_of(context, &directions, k, self.asked, d)?;
        Ok(Refined { components, eigenvalues, residual, rayleigh, relative })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::Dense;
    use crate::streaming::testing::{exact, spiked};

    #[test]
    fn a_step_shrinks_the_angle_by_the_gap() {
        let (n, d) = (300, 12);
        let rows = spiked(n, d, 3.0, 4);
        let (values, vectors) = exact(&rows, d);
        let mut start: Vec<f64> = (0..d).map(|j| vectors[(j, 0)] + 0.3 * vectors[(j, 1)]).collect();
        let length = crate::linalg::norm(&start);
        start.iter_mut().for_each(|x| *x /= length);
        let context = Context::new(1);
        let mut refinement = Refinement::new(&start, d, None, 0).unwrap();
        refinement.add(&context, &Dense::row_major(&rows, n, d), None).unwrap();
        let refined = refinement.finish(&context).unwrap();
        let along = |j: usize| refined.components.iter().zip(vectors.col(j)).map(|(a, b)| a * b).sum::<f64>();
        let tangent = (along(1) / along(0)).abs();
        assert!((tangent / (0.3 * values[1] / values[0]) - 1.0).abs() < 1e-10);
        assert!(refined.rayleigh < refined.eigenvalues[0] && refined.eigenvalues[0] < values[0]);
        assert!(refined.residual > 0.0);
    }
}
