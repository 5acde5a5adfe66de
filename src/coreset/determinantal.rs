//! Rows that are drawn together, so that those drawn are different: for least squares on hardly more rows than unknowns.
//!
//! Let Q be n x r with orthonormal columns that span those of A. A projection DPP is r rows with probability det(Q_S)^2:
//! every row comes with probability t_i, its leverage, and rows that are alike hardly ever together. With more rows drawn by
//! t_i / r, with replacement, it is a volume-rescaled sample: the least squares fit on rows weighted by 1 / t_i then has the
//! fit on all rows as its expectation (Derezinski, Warmuth and Hsu, NeurIPS 2018). Several DPPs do as well with fewer rows
//! (Nouy and Michel, 2023).
//!
//! One DPP by the chain rule: a row i in proportion to what its q_i has beside those drawn before, r times; n r^2 flops.

use super::draw::{Drawn, uniform};
use crate::error::Result;
use crate::linalg::norm;
use crate::matrix::Mat;
use crate::memory::{collected, copied, push};
use crate::parallel::Context;
use crate::random::Stream;
use crate::simd::{axpy, dot, norm_sq};

/// Of the steps of a DPP, and of the draws beside it.
const STEPS: u8 = 0x77;
const BESIDE: u8 = 0x78;
/// What memory is for.
const ROWS: &str = "a sample of rows";

/// `repeats` DPPs and `more` rows beside them, from the rows of Q, one a column; weights are for sums over all rows.
pub(crate) fn determinantal(
    context: &Context,
    q: &Mat<f64>,
    repeats: usize,
    more: usize,
    seed: u64,
) -> Result<Drawn> {
    let leverages = collected((0..q.ncols()).map(|i| norm_sq(q.col(i))), ROWS)?;
    let mut chosen = Vec::new();
    for repeat in 0..repeats {
        context.progress(repeat, repeats, &[])?;
        projection(context, q, &leverages, &Stream::new(seed, 0, STEPS), repeat, &mut chosen)?;
    }
    let stream = Stream::new(seed, 0, BESIDE);
    let ends = Ends::new(context, &leverages)?;
    for draws in context.pieces(0..more) {
        for draw in draws? {
            push(&mut chosen, ends.find(uniform(&stream, draw as u64, 0)), ROWS)?;
        }
    }
    let count = chosen.len();
    chosen.sort_unstable();
    let mut drawn = Drawn { expected: count as f64, ..Drawn::default() };
    for rows in chosen.chunk_by(|a, b| a == b) {
        push(&mut drawn.indices, rows[0], ROWS)?;
        let share = leverages[rows[0]] * count as f64 / q.nrows() as f64;
        push(&mut drawn.weights, rows.len() as f64 / share, ROWS)?;
    }
    Ok(drawn)
}

/// Adds the rows of one DPP.
fn projection(
    context: &Context,
    q: &Mat<f64>,
    leverages: &[f64],
    stream: &Stream,
    repeat: usize,
    chosen: &mut Vec<usize>,
) -> Result<()> {
    let r = q.nrows();
    let mut left = copied(leverages, ROWS)?;
    let mut basis = Mat::zeros(r, r)?;
    for step in 0..r {
        let row = Ends::new(context, &left)?.find(uniform(stream, repeat as u64, step as u32));
        let mut v = copied(q.col(row), ROWS)?;
        for _ in 0..2 {
            for k in 0..step {
                axpy(-dot(basis.col(k), &v), basis.col(k), &mut v);
            }
        }
        let size = norm(&v);
        v.iter_mut().for_each(|entry| *entry /= size);
        basis.col_mut(step).copy_from_slice(&v);
        take_off(context, q, &v, &mut left)?;
        left[row] = 0.0;
        push(chosen, row, ROWS)?;
    }
    Ok(())
}

/// Takes from what rows have left what they have along v.
fn take_off(context: &Context, q: &Mat<f64>, v: &[f64], left: &mut [f64]) -> Result<()> {
    const BLOCK: usize = 1 << 14;
    let blocks = collected(left.chunks_mut(BLOCK), ROWS)?;
    context.map_parts(
        blocks,
        || (),
        |(), block, left: &mut [f64]| {
            for (i, left) in left.iter_mut().enumerate() {
                let along = dot(q.col(block * BLOCK + i), v);
                *left = (*left - along * along).max(0.0);
            }
        },
    )?;
    Ok(())
}

/// Running sums of what rows are drawn in proportion to.
struct Ends(Vec<f64>);

impl Ends {
    fn new(context: &Context, shares: &[f64]) -> Result<Self> {
        let (mut sum, mut ends) = (0.0, Vec::new());
        for rows in context.pieces(0..shares.len()) {
            for share in &shares[rows?] {
                sum += share;
                push(&mut ends, sum, ROWS)?;
            }
        }
        Ok(Self(ends))
    }

    /// The row in whose share a number in (0, 1) of them all is.
    fn find(&self, number: f64) -> usize {
        let total = self.0.last().copied().unwrap_or(0.0);
        let row = self.0.partition_point(|&end| end <= number * total);
        // Rounding may lead beyond the last row that has a share.
        if row < self.0.len() { row } else { self.0.partition_point(|&end| end < total) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coreset::testing::entry;
    use crate::linalg::Qr;

    fn rows_of_q(n: usize, r: usize) -> Mat<f64> {
        let q = Qr::new(Mat::from_fn(n, r, |i, j| entry(i, j) + f64::from(i == j)).unwrap()).unwrap();
        Mat::copy_of(q.thin_q().unwrap().as_ref().t()).unwrap()
    }

    #[test]
    fn rows_come_as_often_as_their_leverages_say_and_never_twice() {
        let (n, r, draws) = (30, 4, 4000);
        let q = rows_of_q(n, r);
        let mut counts = vec![0.0; n];
        for seed in 0..draws {
            let drawn = determinantal(&Context::new(1), &q, 1, 0, seed).unwrap();
            assert_eq!(drawn.indices.len(), r);
            for (&i, weight) in drawn.indices.iter().zip(&drawn.weights) {
                counts[i] += 1.0;
                assert!((weight * norm_sq(q.col(i)) - 1.0).abs() < 1e-12);
            }
        }
        let deviations = (0..n).map(|i| {
            let t = norm_sq(q.col(i));
            (counts[i] - draws as f64 * t).powi(2) / (draws as f64 * t * (1.0 - t))
        });
        let chi_squared: f64 = deviations.sum();
        assert!(chi_squared < n as f64 + 5.0 * (2.0 * n as f64).sqrt(), "{chi_squared}");
    }

    #[test]
    fn several_and_more_rows_whatever_the_threads() {
        let q = rows_of_q(40_000, 3);
        let of = |threads| determinantal(&Context::new(threads), &q, 2, 5, 3).unwrap();
        let drawn = of(1);
        assert_eq!(drawn.expected, 11.0);
        assert!(drawn.indices.len() <= 11 && drawn.indices.is_sorted());
        assert_eq!((of(3).indices, of(3).weights), (drawn.indices, drawn.weights));
    }
}
