//! The search for a number of components, and a penalty with it, by errors on what is held out.
//!
//! How many components there may be depends on what penalises them: where singular values fall off slowly, as those of real
//! tables do, many with a penalty leave less than few without. From 8 and 0.4 the search goes to either side by factors of two
//! and of three as long as that helps, then by their roots, then by the fourth root of two for the components alone.

use crate::error::Result;
use crate::memory::{collected, push};

/// Where the search begins.
const FIRST: (usize, f64) = (8, 0.4);
/// Penalties, in roots of three from the first.
const PENALTIES: std::ops::RangeInclusive<i32> = -15..=10;
/// Numbers of components from one to twice as many.
const PARTS: usize = 4;
/// Steps in the lists of components and of penalties, one after the other.
const STEPS: [(isize, isize); 3] = [(PARTS as isize, 2), (PARTS as isize / 2, 1), (1, 0)];
/// What an error has to fall by, relative to it, to be worth a step: less than that is noise of what is held out, and twice
/// the components for it are twice the time.
const ENOUGH: f64 = 2e-3;
/// What memory is for.
const SEARCH: &str = "the search for a rank";

/// What was tried.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tried {
    /// Components.
    pub rank: usize,
    /// The penalty.
    pub reg: f64,
    /// Whether rows and columns had biases.
    pub bias: bool,
    /// Root mean square error on what was held out.
    pub rmse: f64,
}

/// Components up to `most`, and a penalty, unless that is given, that leave the smallest error; from those of a `former` search
/// it is the small steps that are taken.
pub fn search(
    most: usize,
    given: Option<f64>,
    former: Option<(usize, f64)>,
    mut error: impl FnMut(usize, f64) -> Result<f64>,
) -> Result<(usize, f64)> {
    let (first, of_first) = former.unwrap_or(FIRST);
    let parts = (0..=PARTS * (most.ilog2() as usize + 1)).map(|part| 2f64.powf(part as f64 / PARTS as f64));
    let mut ranks = collected(parts.map(|rank| (rank.round() as usize).min(most)), SEARCH)?;
    ranks.dedup();
    let penalty = |power: i32| FIRST.1 * 3f64.powf(0.5 * f64::from(power));
    let regs = match given {
        Some(reg) => collected([reg], SEARCH)?,
        None => collected(PENALTIES.map(penalty), SEARCH)?,
    };
    let near = |reg: &&f64| (*reg / of_first).ln().abs() < 0.1;
    let mut at = (
        ranks.iter().rposition(|rank| *rank <= first).unwrap_or(0),
        regs.iter().position(|reg| near(&reg)).unwrap_or(0),
    );
    let mut known: Vec<((usize, usize), f64)> = Vec::new();
    let mut visit = |place: (usize, usize)| {
        if let Some((_, found)) = known.iter().find(|(other, _)| *other == place) {
            return Ok(*found);
        }
        let found = error(ranks[place.0], regs[place.1])?;
        // What is no number is worse than any.
        let found = if found.is_nan() { f64::INFINITY } else { found };
        push(&mut known, (place, found), SEARCH)?;
        Ok(found)
    };
    let mut least = visit(at)?;
    for (down, across) in STEPS.into_iter().skip(usize::from(former.is_some())) {
        let mut moved = true;
        while moved {
            moved = false;
            for (down, across) in [(0, -across), (0, across), (down, 0), (-down, 0)] {
                let next = (moved_by(at.0, down, ranks.len()), moved_by(at.1, across, regs.len()));
                let found = visit(next)?;
                if found < (1.0 - ENOUGH) * least {
                    (at, least, moved) = (next, found, true);
                }
            }
        }
    }
    Ok((ranks[at.0], regs[at.1]))
}

/// A place in a list of so many, not beyond its ends.
fn moved_by(place: usize, step: isize, count: usize) -> usize {
    place.saturating_add_signed(step).min(count - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_search_ends_near_the_best() {
        for best in [(1, 1e-3), (3, 0.05), (10, 0.4), (40, 7.0), (200, 60.0)] {
            for most in [1, 2, 7, 64, 1000] {
                let mut count = 0;
                let of = |rank: usize, reg: f64| {
                    let far = (rank as f64 / best.0 as f64).ln();
                    1.0 + far * far + (reg / best.1).ln().powi(2)
                };
                let counted = |rank: usize, reg: f64| {
                    assert!((1..=most).contains(&rank));
                    count += 1;
                    Ok(of(rank, reg))
                };
                let found = search(most, None, None, counted).unwrap();
                let error = of(found.0, found.1);
                assert!(error <= of(best.0.min(most), best.1) + 0.1, "{best:?} {most}: {found:?}");
                assert!(count <= 45, "{best:?} {most}: {count}");
                // From there on, nothing is far.
                let mut again = 0;
                let other = search(most, None, Some(found), |rank, reg| {
                    again += 1;
                    Ok(of(rank, reg))
                });
                assert_eq!(other.unwrap(), found);
                assert!(again <= 7);
                assert_eq!(search(most, Some(0.3), None, |rank, _| Ok(of(rank, best.1))).unwrap().1, 0.3);
            }
        }
        assert_eq!(search(100, None, None, |_, _| Ok(f64::NAN)).unwrap(), FIRST);
    }
}
