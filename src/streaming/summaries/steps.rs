//! Steps of Oja's rule, w <- w + η x <x, w>, many rows and many rates at a time, each as it would be alone.
//!
//! With P = X W' and K = X X' the steps of a chunk are a recursion among small numbers, Y_i = P_i + η Σ_{j<i} K_ij Y_j, and
//! what they add up to is one product, (η Y)'X: the sequential rule, not a mini-batch of it.

use crate::error::Result;
use crate::memory::zeros;
use crate::streaming::rows::chunk::{Chunk, Precision, Room};

/// What memory is for.
const SMALL: &str = "steps of a chunk";

/// The products of a chunk's rows with each other and with some vectors.
pub struct Steps {
    /// K, m x m.
    between: Vec<f64>,
    /// <x_i, w> for each vector, m x g; η times that, for w as it is before step i, once that is made.
    pub along: Vec<f64>,
    m: usize,
    g: usize,
}

impl Steps {
    /// Of the rows of W, g x d.
    pub fn new<T: Precision>(chunk: &Chunk<'_, T>, w: &[T], g: usize, room: &mut Room<T>) -> Result<Self> {
        let m = chunk.len();
        let (mut between, mut along) = (zeros(m * m, SMALL)?, zeros(m * g, SMALL)?);
        chunk.gram(&mut between, room)?;
        chunk.along(w, &mut along);
        Ok(Self { between, along, m, g })
    }

    /// Makes step i at the rates that each vector has, and adds to `growth` what each makes its squared norm larger. Until
    /// then, Y_i is P_i; from then on it is η Y_i, the row's part of what X' is multiplied by.
    pub fn step(&mut self, i: usize, rates: &[f64], growth: &mut [f64]) {
        let (g, m) = (self.g, self.m);
        let (done, rest) = self.along.split_at_mut(i * g);
        let row = &mut rest[..g];
        for (j, before) in done.chunks_exact(g).enumerate() {
            let between = self.between[i * m + j];
            for c in 0..g {
                row[c] += between * before[c];
            }
        }
        let norm_sq = self.between[i * m + i];
        for c in 0..g {
            growth[c] += (2.0 + rates[c] * norm_sq) * rates[c] * row[c] * row[c];
            row[c] *= rates[c];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::streaming::testing::spiked;

    #[test]
    fn a_chunk_of_steps_is_the_steps_of_its_rows() {
        let (m, d, g) = (9, 6, 3);
        let rows = spiked(m, d, 1.0, 2);
        let rates = [0.5, 0.03, 2.0];
        let start: Vec<f64> = (0..d * g).map(|k| ((k * 7 + 1) % 5) as f64 - 1.7).collect();
        let (chunk, mut room) = (Chunk::dense(&rows, d, &[1.0; 9], &[1.0; 9]), Room::default());
        let mut steps = Steps::new(&chunk, &start, g, &mut room).unwrap();
        let mut growth = [0.0; 3];
        (0..m).for_each(|i| steps.step(i, &rates, &mut growth));
        let mut found = start.clone();
        chunk.add_to(&mut found, &steps.along, &mut room).unwrap();
        for c in 0..g {
            let mut w: Vec<f64> = start[c * d..][..d].to_vec();
            let norm_sq = |w: &[f64]| w.iter().map(|x| x * x).sum::<f64>();
            let before = norm_sq(&w);
            for row in rows.chunks_exact(d) {
                let y: f64 = row.iter().zip(&w).map(|(a, b)| a * b).sum();
                w.iter_mut().zip(row).for_each(|(w, x)| *w += rates[c] * x * y);
            }
            assert!(w.iter().enumerate().all(|(k, w)| (found[c * d + k] / w - 1.0).abs() < 1e-11));
            assert!(((growth[c] + before) / norm_sq(&w) - 1.0).abs() < 1e-11);
        }
    }
}
