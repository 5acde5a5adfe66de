//! Lines that their entries do not determine: of all rows that agree with them the shortest, Y'(Y Y')^-1 v.

use super::determined::UNDETERMINED;
use super::factors::Factor;
use super::observations::{Lines, Part};
use crate::error::Result;
use crate::linalg::{Scalar, eigh};
use crate::matrix::{Mat, blocks_by_cost};
use crate::memory::push;
use crate::parallel::Context;
use std::convert::identity;

/// Directions of Y with a smaller square, relative to the largest, are not there.
const CUT: f64 = 1e-10;
/// Entries of a block of lines, about.
const COST: usize = 1 << 12;
/// What memory is for.
const LINES: &str = "lines that are not determined";

/// Sets the rows of x that are marked as undetermined by those of their entries whose other line has a mark that is not
/// negative.
pub fn least_norm<T: Scalar>(
    context: &Context,
    lines: &Lines<T>,
    (own, other): (&[i32], &[i32]),
    (x, y): (&mut Factor<T>, &Factor<T>),
) -> Result<()> {
    let blocks = blocks_by_cost(lines.matrix().ends(), COST)?;
    let (mut rows, stride) = (&mut *x.rows, x.stride);
    let parts = blocks.iter().map(|block| rows.split_off_mut(..block.len() * stride).unwrap_or_default());
    let work = |entries: &mut Vec<(usize, f64)>, block: usize, rows: &mut [T]| {
        for (line, row) in blocks[block].clone().zip(rows.chunks_exact_mut(stride)) {
            if own[line] != UNDETERMINED {
                continue;
            }
            entries.clear();
            let mut stored = Ok(());
            lines.matrix().visit(lines.line(line, Part::All), |j, value| {
                if other[j] >= 0 && stored.is_ok() {
                    stored = push(entries, (j, value.to_f64()), LINES);
                }
            });
            stored?;
            shortest(entries, y, row)?;
        }
        Ok(())
    };
    context.map_parts(parts, Vec::new, work)?.into_iter().try_for_each(identity)
}

fn shortest<T: Scalar>(entries: &[(usize, f64)], y: &Factor<T>, out: &mut [T]) -> Result<()> {
    out.fill(T::default());
    let n = entries.len();
    let entry = |k: usize, c: usize| y.row(entries[k].0)[c].to_f64();
    let product = |k: usize, l: usize| (0..y.rank).map(|c| entry(k, c) * entry(l, c)).sum();
    let (values, vectors) = eigh(&Mat::from_fn(n, n, product)?)?;
    let largest = values.last().copied().unwrap_or(0.0);
    for (at, &value) in values.iter().enumerate().filter(|&(_, &value)| value > CUT * largest) {
        let along = (0..n).map(|k| vectors[(k, at)] * entries[k].1).sum::<f64>() / value;
        for k in 0..n {
            for c in 0..y.rank {
                out[c] = T::from_f64(out[c].to_f64() + along * vectors[(k, at)] * entry(k, c));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::completion::testing::observed;
    use crate::random::Stream;

    #[test]
    fn the_shortest_row_agrees_with_its_entries_and_lies_in_their_span() {
        let context = Context::new(1);
        let stream = Stream::new(3, 0, 0);
        let mut y = Factor::<f64>::zeros(6, 4).unwrap();
        for j in 0..6 {
            (0..4).for_each(|k| y.rows[j * y.stride + k] = stream.normal(j as u64, k as u64));
        }
        let cells = vec![(0, 0, 1.0), (0, 3, -2.0), (0, 5, 7.0), (1, 2, 0.5), (2, 1, 3.0)];
        let observed = observed::<f64>(&context, (3, 6), &cells);
        let mut x = Factor::zeros(3, 4).unwrap();
        let (own, other) = ([UNDETERMINED, UNDETERMINED, 0], [0, 0, 0, 0, 0, UNDETERMINED]);
        least_norm(&context, &observed.rows, (&own, &other), (&mut x, &y)).unwrap();
        for (i, js) in [(0, vec![0, 3]), (1, vec![2])] {
            let mut left = x.row(i)[..4].to_vec();
            observed.rows.matrix().visit(observed.rows.line(i, Part::All), |j, value| {
                let product: f64 = (0..4).map(|k| x.row(i)[k] * y.row(j)[k]).sum();
                assert!(!js.contains(&j) || (product - value).abs() < 1e-12);
            });
            // What is left of it without its projection on the rows, by one row after the other, often enough.
            for _ in 0..3000 {
                for &j in &js {
                    let along: f64 = (0..4).map(|k| left[k] * y.row(j)[k]).sum();
                    let square: f64 = (0..4).map(|k| y.row(j)[k].powi(2)).sum();
                    (0..4).for_each(|k| left[k] -= along / square * y.row(j)[k]);
                }
            }
            assert!(left.iter().all(|x| x.abs() < 1e-9));
        }
        assert!(x.row(2).iter().all(|&x| x == 0.0));
    }
}
