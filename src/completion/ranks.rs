//! The walk to a number of components, one more at a time, by errors on what is held out.

use crate::error::Result;
use crate::memory::push;

/// Components in a row that do not help, before the end.
const PATIENCE: usize = 3;
/// What helps, relative to the error before.
const IMPROVEMENT: f64 = 1e-3;
/// What memory is for.
const WALK: &str = "the walk to a rank";

/// Numbers of components, and the root mean square errors with them.
pub type RankPath = Vec<(usize, f64)>;

/// The smallest rank whose errors are within one standard error of those of the best, errors of one row, of which `squares`
/// gives the sum, being compared with each other; and all ranks that were tried.
pub fn walk_ranks(
    most: usize,
    counts: &[f64],
    mut squares: impl FnMut(usize) -> Result<Vec<f64>>,
) -> Result<(usize, RankPath)> {
    let total: f64 = counts.iter().sum();
    let (mut path, mut found) = (Vec::new(), Vec::new());
    let (mut best, mut since) = (0, 0);
    for rank in 1..=most {
        let errors = squares(rank)?;
        let rmse = (errors.iter().sum::<f64>() / total).sqrt();
        push(&mut path, (rank, rmse), WALK)?;
        push(&mut found, errors, WALK)?;
        let (_, least) = path[best];
        since = if rmse < (1.0 - IMPROVEMENT) * least { 0 } else { since + 1 };
        if rmse < least {
            best = rank - 1;
        }
        if since > PATIENCE {
            break;
        }
    }
    let near = (0..best).find(|&at| within_one_error(&found[at], &found[best], counts));
    Ok((near.unwrap_or(best) + 1, path))
}

/// Whether squared errors are larger by no more than the standard error of their difference.
fn within_one_error(errors: &[f64], least: &[f64], counts: &[f64]) -> bool {
    let difference: f64 = errors.iter().zip(least).map(|(e, l)| e - l).sum();
    let mean = difference / counts.iter().sum::<f64>();
    let of_row = |((e, l), n): ((&f64, &f64), &f64)| (e - l - mean * n).powi(2);
    difference <= errors.iter().zip(least).zip(counts).map(of_row).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Squared errors of a hundred rows with two entries each, which fall to rank four and stay, but for noise.
    fn errors(rank: usize, after: f64) -> Vec<f64> {
        let mean = if rank < 4 { 5.0 - rank as f64 } else { 1.0 + after * (rank - 4) as f64 };
        (0..100).map(|i| 2.0 * mean + 0.02 * ((7 * i + 13 * rank) as f64).sin()).collect()
    }

    #[test]
    fn the_walk_takes_the_least_rank_that_is_as_good_as_the_best() {
        for after in [0.0, 0.3, -1e-6] {
            let (rank, path) = walk_ranks(20, &[2.0; 100], |rank| Ok(errors(rank, after))).unwrap();
            assert_eq!(rank, 4, "{after}");
            assert_eq!(path.len(), 8);
        }
        assert_eq!(walk_ranks(3, &[2.0; 100], |rank| Ok(errors(rank, 0.0))).unwrap().0, 3);
        // Better by little, but in every row.
        assert_eq!(walk_ranks(20, &[2.0; 100], |rank| Ok(errors(rank, -0.02))).unwrap().0, 20);
        let none = walk_ranks(9, &[0.0; 5], |_| Ok(vec![0.0; 5])).unwrap();
        assert_eq!((none.0, none.1.len()), (1, 4));
    }
}
