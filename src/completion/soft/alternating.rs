//! Alternating ridge regressions: ½ |P(V - A B')|² + ½ λ (|A|² + |B|²).
//!
//! The least over all A, B with A B' = Z is ½ |P(V - Z)|² + λ |Z|_* (Srebro, Rennie and Jaakkola, NIPS 2004; Hastie, Mazumder,
//! Lee and Zadeh, JMLR 2015), and with more columns than the answer has ranks there are no others to end at.

use super::solution::Solution;
use crate::completion::factors::Factor;
use crate::completion::half::{Method, Penalty, half_sweep};
use crate::completion::observations::{Observations, Part};
use crate::error::Result;
use crate::parallel::Context;
use crate::random::Stream;

/// Purpose of the random numbers of new columns.
const START: u8 = 0x72;
/// Size of new columns, over the root of the penalty.
const NEW: f64 = 0.1;

/// When sweeps end.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Most of them.
    pub max_iter: usize,
    /// When the objective falls by no more than this, relative to it.
    pub tol: f64,
}

/// From one solution to that of another penalty, of at most so large a rank; the sweeps that took.
pub fn alternate(
    context: &Context,
    (observed, part): (&Observations<f64>, Part),
    from: &Solution,
    (rank, lambda): (usize, f64),
    patience: Patience,
    seed: u64,
) -> Result<(Solution, usize)> {
    let (mut a, mut b) = from.factors(rank)?;
    add_columns(&mut b, from.values.len(), lambda, seed);
    let penalty = Penalty { factor: lambda, bias: None, exponent: 0.0 };
    let (mut before, mut sweeps) = (f64::INFINITY, 0);
    while sweeps < patience.max_iter {
        half_sweep(context, &observed.rows, part, (&mut a, &mut b), penalty, Method::Exact)?;
        let of_columns =
            half_sweep(context, &observed.columns, part, (&mut b, &mut a), penalty, Method::Exact)?;
        let value = of_columns + lambda * a.rows.iter().map(|x| x * x).sum::<f64>();
        sweeps += 1;
        context.tick()?;
        if before - value <= patience.tol * value {
            break;
        }
        before = value;
    }
    Ok((Solution::of_factors(context, &observed.rows, part, (&a, &b), lambda)?, sweeps))
}

/// Fills columns that are zeros: what is no more than zero never becomes anything.
fn add_columns(b: &mut Factor<f64>, rank: usize, lambda: f64, seed: u64) {
    let stream = Stream::new(seed, 0, START);
    let (stride, size) = (b.stride, NEW * (lambda / b.count as f64).sqrt());
    for j in 0..b.count {
        for c in rank..b.rank {
            b.rows[j * stride + c] = size * stream.normal(j as u64, c as u64);
        }
    }
}
