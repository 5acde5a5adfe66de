//! The walk to a penalty: by factors of three while that helps, then by the root of three to either side of the best.

use crate::error::Result;

/// Where the walk begins, in units of the standard deviation of what the biases leave.
pub const FIRST: f64 = 1.2;
/// What helps, relative to the error before.
const IMPROVEMENT: f64 = 5e-3;
/// It goes no farther.
const RANGE: [f64; 2] = [1e-4, 1e2];

/// The penalty with the smallest error that is met on the walk.
pub fn walk(first: f64, mut error: impl FnMut(f64) -> Result<f64>) -> Result<f64> {
    let within = |reg: &f64| (RANGE[0]..=RANGE[1]).contains(reg);
    let mut visit = |reg: f64| {
        let found = error(reg)?;
        // What is no number is worse than any.
        Ok(if found.is_nan() { f64::INFINITY } else { found })
    };
    let mut best = (first, visit(first)?);
    let below = (first / 3.0, visit(first / 3.0)?);
    let step = if below.1 < best.1 {
        best = below;
        1.0 / 3.0
    } else {
        3.0
    };
    loop {
        let next = best.0 * step;
        if !within(&next) {
            break;
        }
        let (found, before) = (visit(next)?, best.1);
        if found < before {
            best = (next, found);
        }
        if found >= (1.0 - IMPROVEMENT) * before {
            break;
        }
    }
    let middle = best.0;
    for next in [middle * 3f64.sqrt(), middle / 3f64.sqrt()].into_iter().filter(within) {
        let found = visit(next)?;
        if found < best.1 {
            best = (next, found);
        }
    }
    Ok(best.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_walk_ends_near_the_best_wherever_it_begins() {
        for best in [1e-3, 0.05, 0.4, 1.0, 7.0, 60.0] {
            for first in [0.3, 0.7, FIRST, 2.1, 5.0] {
                let mut path = Vec::new();
                let found = walk(first, |reg| {
                    path.push(reg);
                    Ok((reg / best).ln().powi(2))
                })
                .unwrap();
                assert!(
                    (found / best).ln().abs() <= 3f64.ln() / 4.0 + 1e-9,
                    "{found} for {best} from {first}"
                );
                assert!(path.len() <= 14 && path.iter().all(|reg| (1e-4..=1e2).contains(reg)));
            }
        }
    }

    #[test]
    fn an_error_that_only_falls_or_is_none_ends_the_walk() {
        assert!(walk(FIRST, Ok).unwrap() <= 3e-4);
        assert!(walk(FIRST, |reg| Ok(-reg)).unwrap() >= 30.0);
        let mut count = 0;
        let nothing = |_| {
            count += 1;
            Ok(f64::NAN)
        };
        assert_eq!((walk(FIRST, nothing).unwrap(), count), (FIRST, 5));
    }
}
