//! A second pass: one step of the power method from what the first has found.
//!
//! With rows V from the stream and Z = V A'A, the pencil (Z Z', V Z') has eigenvalues between those of V A'A V' and those of A'A, and
//! angles shrink by about the gap. |Z - (Z V') V| says how far V was from an invariant subspace.

use crate::error::{Error, Result};
use crate::linalg::{cholesky, times_power_of_two};
use crate::matrix::{Mat, Rows};
use crate::memory::{collected, zeros};
use crate::parallel::Context;
use crate::simd::axpy;
use crate::streaming::answers::stack::components_of;
use crate::streaming::rows::chunk::{CHUNK, Chunk, Room};
use crate::streaming::small::combinations::{combine, inner, leading_pairs, over_upper};
use crate::streaming::small::numbers::Numbers;

/// V, Z and the mean that rows are taken less.
pub struct Refinement {
    d: usize,
    k: usize,
    /// Components that are not zero, which are the k rows of V.
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
    /// Their roots, in range where they are not.
    pub singular_values: Vec<f64>,
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
        let v = Numbers::copy_of(&components[..k * d])?;
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
        let (ones, mut room) = ([1.0; CHUNK], Room::default());
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
            let chunk = Chunk::dense(&own[..m * d], d, &ones[..m], &ones[..m]);
            chunk.along(&self.v, &mut along[..m * k]);
            chunk.add_to(&mut self.z, &along[..m * k], &mut room)?;
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
            let [eigenvalues, singular_values] = [self.of_all(&[])?, self.of_all(&[])?];
            let components = zeros(self.asked * d, "components")?;
            let (residual, rayleigh, relative) = (0.0, 0.0, f64::NAN);
            return Ok(Refined { components, eigenvalues, singular_values, residual, rayleigh, relative });
        }
        let core = inner(&self.v, &self.z, d)?;
        let core = Mat::from_fn(k, k, |i, j| 0.5 * (core[i * k + j] + core[j * k + i]))?;
        let mut residual = Numbers::zeros(d)?;
        residual.copy_from_slice(&self.z[..d]);
        axpy(-core[(0, 0)], &self.v[..d], &mut residual);
        let (residual, rayleigh) = (crate::linalg::norm(&residual), core[(0, 0)]);
        let relative = residual / rayleigh;
        let [residual, rayleigh] = [residual, rayleigh].map(|x| times_power_of_two(x, 2 * self.unit));
        let whole = |value: &f64| times_power_of_two(value.max(0.0), 2 * self.unit);
        let root = |value: &f64| times_power_of_two(value.max(0.0).sqrt(), self.unit);
        let (components, values) = match cholesky(&core)? {
            None => {
                let mut all = zeros(self.asked * d, "components")?;
                all[..k * d].copy_from_slice(&self.v);
                (all, collected((0..k).map(|j| core[(j, j)]), "eigenvalues")?)
            }
            Some(r) => {
                let half = over_upper(&self.z, d, &r)?;
                let (values, turn) = leading_pairs(&inner(&half, &half, d)?, k, k)?;
                let mut directions = Numbers::zeros(self.z.len())?;
                combine(&turn, &half, d, &mut directions, false);
                (components_of(context, &directions, self.asked, d)?, values)
            }
        };
        let eigenvalues = self.of_all(&collected(values.iter().map(whole), "eigenvalues")?)?;
        let singular_values = self.of_all(&collected(values.iter().map(root), "singular values")?)?;
        Ok(Refined { components, eigenvalues, singular_values, residual, rayleigh, relative })
    }

    /// These, and zeros of the components that are zero.
    fn of_all(&self, values: &[f64]) -> Result<Vec<f64>> {
        let mut all = zeros(self.asked, "eigenvalues")?;
        all[..values.len()].copy_from_slice(values);
        Ok(all)
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
