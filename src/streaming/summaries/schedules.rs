//! Oja's rule at one rate, which somebody has to know: to compare with.
//!
//! | rule | rate of row t |
//! |---|---|
//! | fixed | c |
//! | decay | c / (t0 + t) (Jain, Jin, Kakade, Netrapalli and Sidford 2016) |
//! | AdaOja | of a chunk, one over the root of the sum of squares of its gradients so far (Henriksen and Ward 2019) |

use crate::error::{Error, Result};
use crate::linalg::times_power_of_two;
use crate::memory::zeros;
use crate::parallel::Context;
use crate::random::Stream as Random;
use crate::simd::norm_sq;
use crate::streaming::params::{Algorithm, Params, Plan};
use crate::streaming::rows::chunk::{Chunk, Room};
use crate::streaming::small::combinations::orthonormal_rows;
use crate::streaming::small::numbers::Numbers;
use crate::streaming::summaries::steps::Steps;
use serde::{Deserialize, Serialize};

/// Purpose of the random numbers.
const START: u8 = 0x64;

/// k directions.
#[derive(Serialize, Deserialize)]
pub struct Schedule {
    algorithm: Algorithm,
    d: usize,
    k: usize,
    /// k x d, row after row.
    w: Numbers,
    /// c, in the unit of the rows.
    rate: f64,
    t0: f64,
    /// Rows and chunks so far.
    rows: u64,
    chunks: u64,
    /// Of each direction: squared gradients so far, and the energy that it had in rows before they were taken in.
    gradients: Vec<f64>,
    energies: Vec<f64>,
    /// How many rows that energy is of.
    weight: f64,
}

impl Schedule {
    /// No rows yet.
    pub fn new(context: &Context, params: &Params, plan: &Plan) -> Result<Self> {
        let (d, k) = (plan.d, params.k.min(plan.d));
        let mut w = Numbers::zeros(d * k)?;
        let random = Random::new(params.seed, 0, START);
        for (row, number) in w.chunks_exact_mut(d.max(1)).zip(0..) {
            random.normals_of_row(number, row);
        }
        Ok(Self {
            algorithm: plan.algorithm,
            d,
            k,
            w: if k == 0 { w } else { orthonormal_rows(context, &w, k)? },
            rate: params.rate.unwrap_or(0.0),
            t0: params.t0.unwrap_or(0.0),
            rows: 0,
            chunks: 0,
            gradients: zeros(k, "gradients")?,
            energies: zeros(k, "energies")?,
            weight: 0.0,
        })
    }

    /// An independent copy, as an error-returning `clone`.
    pub fn copy(&self) -> Result<Self> {
        let copied = |numbers: &[f64]| crate::memory::copied(numbers, "figures of directions");
        Ok(Self {
            w: self.w.copy()?,
            gradients: copied(&self.gradients)?,
            energies: copied(&self.energies)?,
            ..*self
        })
    }

    /// True of what such a stream may have.
    pub fn fits(&self, params: &Params, plan: &Plan) -> bool {
        let k = params.k.min(plan.d);
        let sound = |number: &f64| *number >= 0.0 && number.is_finite();
        (self.algorithm, self.d, self.k) == (plan.algorithm, plan.d, k)
            && self.w.len() == plan.d * k
            && [&self.gradients, &self.energies].iter().all(|numbers| numbers.len() == k)
            && self.gradients.iter().chain(&self.energies).all(sound)
            && [self.rate, self.t0, self.weight].iter().all(sound)
    }

    /// Takes rows in.
    pub fn absorb(&mut self, context: &Context, chunk: &Chunk<'_, f64>, room: &mut Room<f64>) -> Result<()> {
        let (k, m) = (self.k, chunk.len());
        let along = match self.algorithm {
            Algorithm::AdaOja => self.gradient_step(chunk, room)?,
            _ => self.steps(chunk, room)?,
        };
        if self.w.iter().any(|number| !number.is_finite()) {
            return Err(Error::value(
                "learning_rate",
                "so large that directions have no end",
                "a smaller one",
            ));
        }
        self.w = orthonormal_rows(context, &self.w, k)?;
        self.rows += m as u64;
        self.chunks += 1;
        let past = 1.0 - 1.0 / self.chunks as f64;
        self.weight = past * self.weight + m as f64;
        for (j, energy) in self.energies.iter_mut().enumerate() {
            *energy = past * *energy + along.iter().skip(j).step_by(k).map(|y| y * y).sum::<f64>();
        }
        Ok(())
    }

    /// One step a row; what W had along each before the chunk.
    fn steps(&mut self, chunk: &Chunk<'_, f64>, room: &mut Room<f64>) -> Result<Vec<f64>> {
        let (k, m) = (self.k, chunk.len());
        let mut steps = Steps::new(chunk, &self.w, k, room)?;
        let before = crate::memory::copied(&steps.along, "products of rows")?;
        let rate = |i: usize| match self.algorithm {
            Algorithm::OjaDecay => self.rate / (self.t0 + (self.rows + i as u64 + 1) as f64),
            _ => self.rate,
        };
        let mut growth = zeros(k, "growths")?;
        for i in 0..m {
            let rates = crate::memory::filled(rate(i), k, "rates")?;
            steps.step(i, &rates, &mut growth);
        }
        chunk.add_to(&mut self.w, &steps.along, room)?;
        Ok(before)
    }

    /// One step a chunk.
    fn gradient_step(&mut self, chunk: &Chunk<'_, f64>, room: &mut Room<f64>) -> Result<Vec<f64>> {
        let (k, m) = (self.k, chunk.len());
        let mut along = zeros(m * k, "products of rows")?;
        chunk.along(&self.w, &mut along);
        let mut gradient = Numbers::zeros(self.w.len())?;
        chunk.add_to(&mut gradient, &along, room)?;
        gradient.iter_mut().for_each(|number| *number /= m as f64);
        for (sum, row) in self.gradients.iter_mut().zip(gradient.chunks_exact(self.d.max(1))) {
            *sum += norm_sq(row);
        }
        for (at, number) in self.w.iter_mut().enumerate() {
            if self.gradients[at / self.d] > 0.0 {
                *number += gradient[at] / self.gradients[at / self.d].sqrt();
            }
        }
        Ok(along)
    }

    /// L, k x d, with L'L = sum of λ_j w_j w_j', λ_j what rows had along w_j before they were taken in.
    pub fn factor(&self) -> Result<Numbers> {
        let mut factor = self.w.copy()?;
        let share = if self.weight > 0.0 { self.rows as f64 / self.weight } else { 0.0 };
        for (row, energy) in factor.chunks_exact_mut(self.d.max(1)).zip(&self.energies) {
            row.iter_mut().for_each(|number| *number *= (share * energy).sqrt());
        }
        Ok(factor)
    }

    /// Numbers of the state.
    pub fn size(&self) -> usize {
        self.w.len()
    }

    /// In another unit: rows times `factor`, a power of two.
    pub fn scale(&mut self, factor: f64) {
        self.rate /= factor * factor;
        self.energies.iter_mut().for_each(|energy| *energy *= factor * factor);
        self.gradients.iter_mut().for_each(|sum| *sum *= factor.powi(4));
    }

    /// Rows, none of which has come, will be divided by two to this power.
    pub fn choose_unit(&mut self, exponent: i32) {
        self.rate = times_power_of_two(self.rate, 2 * exponent);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::streaming::testing::{answered, correlation, exact, params, spiked};

    #[test]
    fn each_rule_finds_a_clear_spike_in_any_unit() {
        let (n, d) = (4000, 20);
        let rows = spiked(n, d, 4.0, 3);
        let (values, _) = exact(&rows, d);
        for (algorithm, rate) in
            [(Algorithm::OjaFixed, 20.0 / values[0]), (Algorithm::OjaDecay, 0.2), (Algorithm::AdaOja, 0.0)]
        {
            let plain = Params { rate: Some(rate), t0: Some(20.0), ..params(algorithm) };
            let answer = answered(plain, &rows, d, 100);
            assert!(correlation(&answer, &rows, d) > 0.95, "{algorithm:?}");
            assert!((answer.eigenvalues[0] / values[0] - 1.0).abs() < 0.2, "{algorithm:?}");
            for power in [-600, 600] {
                let scaled: Vec<f64> = rows.iter().map(|x| times_power_of_two(*x, power)).collect();
                let rate = times_power_of_two(rate, -2 * power);
                if rate.is_finite() && rate > 0.0 {
                    let other = answered(Params { rate: Some(rate), ..plain }, &scaled, d, 100);
                    assert!(other.components == answer.components, "{algorithm:?} {power}");
                }
            }
        }
    }
}
