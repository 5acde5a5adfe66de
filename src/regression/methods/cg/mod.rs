//! `cg`: conjugate gradients on the normal equations of A with columns of norm one, one read of A an iteration, no factor
//! and a few vectors as long as a row.
//!
//! The iterations restart from the explicit residual and gradient of the answer until it is backward stable; it is the
//! restart, not the recurrence, that makes it so. What a round starts from is measured on the way: two bounds need its
//! residual and gradient alone, and where they do not settle the matter, a few iterations bound the estimate of Karlson and
//! Walden from both sides (`Quadrature`).
//!
//! Directions that A does not see are rounding, and iterations beyond that level walk along them as far as one likes: a
//! round ends where the gradient has come down to what rounding leaves of it.
//!
//! | file | what |
//! |---|---|
//! | `system` | A in the units of its columns, and the sides of a round |
//! | `side` | the iteration for one right-hand side, when it ends, what it tells |
//! | `iterate` | all sides of a round, until each has ended |
//! | `null_space` | rank and least norm, from what is left of random vectors |

mod iterate;
mod null_space;
mod side;
mod system;

use crate::error::{Error, Result};
use crate::matrix::{Mat, Real};
use crate::memory::{collected, copied, filled, push, room_for, zeros};
use crate::random::Stream;
use crate::regression::design::pass::Passes;
use crate::regression::methods::cg::iterate::{FEWEST, PATIENCE, iterate};
use crate::regression::methods::cg::null_space::{NullSpace, null_space};
use crate::regression::methods::cg::side::{LEFT, Side};
use crate::regression::methods::cg::system::System;
use crate::regression::methods::outcome::{Limit, Made, Outcome, Unfactored};
use crate::regression::refine::{Group, Refined, START, TARGETS, columns};
use std::f64::consts::SQRT_2;

/// Restarts; two suffice unless A is ill-conditioned.
const MOST_ROUNDS: usize = 8;

/// Conjugate gradients for one group of targets, given the norms of the columns, from what another method has come to, if
/// it has. Directions that A shrinks by more than `rcond` count as its null space.
pub(crate) fn cg<T: Real, M: Passes<T>>(
    group: &Group<'_, '_, T, M>,
    norms: &[f64],
    limit: Limit,
    rcond: f64,
    seed: u64,
    start: Option<Mat<f64>>,
) -> Result<Outcome> {
    let system = System::new(group, norms, rcond)?;
    let (d, k) = (norms.len(), group.targets.len());
    let mut made = Made::default();
    let random = Stream::new(seed, 0, START);
    // Directions that the caller wants cut off although A has them are a factor's to find.
    let is_sought =
        !system.is_wide() && system.may_hide() && (system.is_ridged() || rcond <= group.design.cut_off());
    let probe = is_sought.then(|| system.probes(&random, 0..1)).transpose()?;
    // Only from zero do iterations come to the shortest answer where rows are fewer than columns.
    let start = start.filter(|_| !system.is_wide()).map_or_else(|| Mat::zeros(d, k), Ok)?;
    let first = match rounds(group, &system, limit, start, probe, &mut made)? {
        Ok(answers) => answers,
        Err(needed) => return Ok(Outcome::Slow { made: made.reads, needed }),
    };
    if system.has_one_unit() && !system.is_wide() {
        // Errors are about columns of norm one: a few iterations measure them there.
        let system = system.by_columns();
        let limit = Limit { gives_up: false, iterations: limit.in_all, ..limit };
        let Ok(measured) = rounds(group, &system, limit, first.refined.x, None, &mut made)? else {
            return Err(Error::Internal("iterations were given up".into()));
        };
        let is_seen = !system.may_hide();
        let known = Known { rank: Some(system.present()), is_shortest: true, is_seen, cut: 0.0 };
        return measured.unfactored(group, &system, made, known);
    }
    let is_seen = first.probe.as_ref().map_or(!system.may_hide(), |probe| probe.share <= LEFT);
    if is_seen || !system.is_in_doubt() {
        let rank = (!system.is_wide()).then(|| system.present());
        return first.unfactored(group, &system, made, Known { rank, is_shortest: true, is_seen, cut: 0.0 });
    }
    let unknown = Known { rank: None, is_shortest: false, is_seen: false, cut: 0.0 };
    let Some(Probe { left, is_settled: true, .. }) = first.probe.as_ref().filter(|_| first.refined.settled)
    else {
        return first.unfactored(group, &system, made, unknown);
    };
    let largest = first.largest.sqrt();
    let most = limit.in_all.saturating_sub(made.iterations).min((PATIENCE * made.iterations).max(FEWEST));
    let Some(NullSpace { basis, cut }) =
        null_space(group, &system, left, &random, (most, rcond * largest), &mut made)?
    else {
        return first.unfactored(group, &system, made, unknown);
    };
    let rank = Some(system.present() - basis.ncols());
    let known = Known { rank, is_shortest: !system.is_steep(), is_seen: true, cut };
    let shorter = system.without::<T>(&first.refined.x, &basis)?;
    let limit = Limit { gives_up: false, iterations: limit.in_all, ..limit };
    match rounds(group, &system, limit, shorter, None, &mut made)? {
        Ok(answers) if answers.refined.settled => answers.unfactored(group, &system, made, known),
        _ => first.unfactored(group, &system, made, Known { is_shortest: false, ..known }),
    }
}

/// What the rounds came to.
struct Answers {
    refined: Refined,
    bound: Vec<f64>,
    rigorous: Vec<f64>,
    condition: f64,
    /// A bound on the largest eigenvalue from below.
    largest: f64,
    probe: Option<Probe>,
}

/// What A does not see of a random vector.
struct Probe {
    /// In the units of the design.
    left: Mat<f64>,
    /// Its length beside that of all.
    share: f64,
    /// Whether the rest has been taken off.
    is_settled: bool,
}

/// What is known of the null space of A.
struct Known {
    rank: Option<usize>,
    is_shortest: bool,
    /// Whether no direction can have hidden from the iterations but those of the null space.
    is_seen: bool,
    /// What A has of the directions that count as its null space, relative to |A|_F.
    cut: f64,
}

impl Answers {
    /// Where a direction may have hidden, errors are what needs no estimate of an eigenvalue.
    fn unfactored<T: Real, M: Passes<T>>(
        mut self,
        group: &Group<'_, '_, T, M>,
        system: &System,
        made: Made,
        known: Known,
    ) -> Result<Outcome> {
        if !known.is_seen || system.has_one_unit() {
            self.bound.copy_from_slice(&self.rigorous);
            let errors = self.refined.backward_error.iter_mut().zip(&self.rigorous);
            errors.for_each(|(error, rigorous)| *error = rigorous / SQRT_2);
            self.settle(group);
        }
        let Known { rank, is_shortest, cut, .. } = known;
        let Self { refined, bound, rigorous, condition, .. } = self;
        let (refined, iterations) = (Refined { passes: made.reads, ..refined }, made.iterations);
        Ok(Outcome::Unfactored(Unfactored {
            refined,
            iterations,
            bound,
            rigorous,
            scale: None,
            norms: copied(&system.norms, TARGETS)?,
            condition,
            rank,
            cut,
            rounding: 0.0,
            is_shortest,
        }))
    }

    fn settle<T: Real, M: Passes<T>>(&mut self, group: &Group<'_, '_, T, M>) {
        let count = self.bound.len();
        self.refined.settled = (0..count).all(|position| group.is_accepted(&self.refined, position));
    }
}

/// Rounds from x on, in the units of the design, until the answers are good enough; or the iterations needed, if the limit
/// forbids that many.
fn rounds<T: Real, M: Passes<T>>(
    group: &Group<'_, '_, T, M>,
    system: &System,
    limit: Limit,
    mut x: Mat<f64>,
    mut probe: Option<Mat<f64>>,
    made: &mut Made,
) -> Result<std::result::Result<Answers, usize>> {
    let k = group.targets.len();
    let mut answers = Answers {
        refined: Refined::starting_at(&x)?,
        bound: filled(f64::INFINITY, k, TARGETS)?,
        rigorous: filled(f64::INFINITY, k, TARGETS)?,
        condition: 1.0,
        largest: 0.0,
        probe: None,
    };
    let mut active = collected(0..k, TARGETS)?;
    let mut least: Vec<f64> = zeros(k, TARGETS)?;
    let mut is_moved = filled(false, k, TARGETS)?;
    let is_ridged = system.ridge_dominates();
    let starts_at_zero = x.as_slice().iter().all(|&x| x == 0.0);
    for round in 0..MOST_ROUNDS {
        let measures = round > 0 || !starts_at_zero;
        let known =
            collected(active.iter().map(|&p| (answers.refined.backward_error[p], least[p])), TARGETS)?;
        let mut sides =
            system.begin(group, &columns(&x, &active)?, &active, measures, &known, probe.as_ref())?;
        made.reads += 1;
        let last = made.iterations >= limit.iterations;
        for side in sides.iter_mut().take(active.len()) {
            side.has_ended |= side.error().estimate <= group.tolerance && !(is_ridged && round == 0);
        }
        let limit = Limit { gives_up: limit.gives_up && round == 0, ..limit };
        if let Some(needed) = iterate(group, system, limit, &mut sides, &answers.refined, made)? {
            return Ok(Err(needed));
        }
        let mut least_of_probe = f64::INFINITY;
        if let Some(side) = probe.take().and(sides.get(active.len())) {
            let left = collected(side.end().zip(&system.scale).map(|(value, s)| value / s), TARGETS)?;
            let left = Mat::from_fn(left.len(), 1, |j, _| left[j])?;
            let is_settled = side.has_ended && !side.is_lost;
            least_of_probe = side.least_eigenvalue();
            answers.probe = Some(Probe { left, share: side.share_left(), is_settled });
        }
        let mut going = room_for(active.len(), TARGETS)?;
        for (side, &position) in sides.iter().zip(&active) {
            answers.condition = answers.condition.max(side.condition());
            answers.largest = answers.largest.max(side.top);
            if round == 0 {
                least[position] = side.least_eigenvalue().min(least_of_probe);
            }
            let (last_error, error) = (answers.refined.backward_error[position], side.error());
            if error.estimate < last_error
                || is_moved[position] && error.estimate <= last_error.max(group.tolerance)
            {
                answers.keep(system, position, side, x.col(position));
            }
            let is_met = error.estimate <= group.tolerance && !(is_ridged && round == 0);
            let is_stagnated = round > 0 && error.estimate > 0.5 * last_error;
            let is_over = is_met || is_stagnated || side.is_lost || error.estimate.is_nan();
            let is_done = is_over && (is_moved[position] || !system.resolve::<T>(side, x.col_mut(position)));
            if is_done {
                continue;
            }
            if is_over {
                is_moved[position] = true;
            } else {
                // Rounded here, so that what is measured is what is returned.
                let steps = x.col_mut(position).iter_mut().zip(&side.y).zip(&system.scale);
                steps.for_each(|((x, y), s)| *x = T::from_f64(*x + y / s).to_f64());
            }
            push(&mut going, position, TARGETS)?;
        }
        active = going;
        if active.is_empty() || last {
            break;
        }
    }
    answers.settle(group);
    Ok(Ok(answers))
}

impl Answers {
    fn keep(&mut self, system: &System, position: usize, side: &Side, x: &[f64]) {
        let error = side.error();
        let residual = [side.start.residual_norm, side.start.residual_total];
        self.refined.keep(position, error.estimate, residual, x);
        (self.bound[position], self.rigorous[position]) = (error.bound, system.rigorous(side));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::{Axis, Indices, Matrix, Sparse};
    use crate::parallel::Context;
    use crate::regression::design::Design;
    use crate::regression::problem::Problem;
    use crate::regression::testing::{Instance, assert_near, forms};

    const PATIENT: Limit = Limit { iterations: 500, in_all: 2000, gives_up: false };

    fn solved(group: &Group<'_, '_, f64>, limit: Limit) -> Unfactored {
        let norms = group.design.column_norms(group.context).unwrap();
        match cg(group, &norms, limit, group.design.cut_off(), 0, None).unwrap() {
            Outcome::Unfactored(found) => found,
            _ => panic!("no factor, and no limit"),
        }
    }

    #[test]
    fn the_minimiser_and_the_full_rank() {
        let instance = Instance::new(60, 5);
        for (form, ridge) in forms().flat_map(|form| [(form, 0.0), (form, 20.0)]) {
            instance.with_group(form, ridge, |group| {
                let found = solved(group, PATIENT);
                instance.assert_solved(form, group, &found.refined, &[1.0; 5]);
                assert_eq!(found.rank, Some(5), "{form:?}");
                for target in 0..2 {
                    let [error, bound] = [found.refined.backward_error[target], found.bound[target]];
                    assert!(error <= 2e-16 && bound <= 5e-16 && bound <= found.rigorous[target]);
                }
                assert!(found.is_shortest);
            });
        }
    }

    /// Groups of columns of which one has a one in every row, and a constant after them.
    fn one_hot(n: usize, levels: &[usize]) -> (Vec<i32>, Vec<i32>) {
        let (mut ends, mut indices) = (vec![0], Vec::new());
        for i in 0..n {
            let mut first = 0;
            for (group, count) in levels.iter().enumerate() {
                indices.push((first + (i * (2 * group + 3) + i / 7 + i / count) % count) as i32);
                first += count;
            }
            indices.push(first as i32);
            ends.push(indices.len() as i32);
        }
        (ends, indices)
    }

    #[test]
    fn of_dependent_columns_the_rank_and_the_shortest_answer() {
        let (n, levels) = (600, [4, 7, 12]);
        let ((ends, indices), d) = (one_hot(n, &levels), 24);
        let values = vec![1.0; indices.len()];
        let (indptr, columns) = (Indices::I32(&ends), Indices::I32(&indices));
        let matrix =
            Sparse::new(&Context::new(1), "A", Axis::Rows, (n, d), indptr, columns, &values).unwrap();
        let b = Mat::from_fn(n, 2, |i, j| ((i * i + 7 * j) as f64).sin() + (i % 4) as f64).unwrap();
        let problem = Problem {
            design: Matrix::Sparse(matrix),
            targets: b.as_ref(),
            weights: None,
            ridge: &[0.0],
            fit_intercept: false,
        };
        let context = Context::new(2);
        let design = Design::new(&context, &problem).unwrap();
        let targets = [0, 1];
        let group = Group {
            context: &context,
            design: &design,
            targets: &targets,
            ridge: 0.0,
            tolerance: 1.2e-16,
            max_passes: 9,
        };
        let found = solved(&group, PATIENT);
        // Every group adds up to the constant.
        assert_eq!((found.rank, found.is_shortest), (Some(d - 3), true));
        for target in 0..2 {
            let x = found.refined.x.col(target);
            let sum_of = |from: usize, count: usize| x[from..from + count].iter().sum::<f64>();
            for (from, count) in [(0, 4), (4, 7), (11, 12)] {
                assert_near(sum_of(from, count), x[23], "an answer in the row space");
            }
            assert!(found.bound[target] < 6e-16);
        }
    }

    #[test]
    fn of_directions_that_are_to_be_cut_off_nothing_is_said() {
        let instance = Instance::new(60, 5);
        instance.with_group(forms().next().unwrap(), 0.0, |group| {
            let norms = group.design.column_norms(group.context).unwrap();
            let Outcome::Unfactored(found) = cg(group, &norms, PATIENT, 0.5, 0, None).unwrap() else {
                panic!()
            };
            assert_eq!((found.rank, found.is_shortest), (None, false));
        });
    }

    #[test]
    fn no_more_iterations_than_allowed_and_foresight() {
        let instance = Instance::new(60, 5);
        instance.with_group(forms().next().unwrap(), 0.0, |group| {
            let found = solved(group, Limit { iterations: 2, in_all: 2, gives_up: false });
            assert!(found.iterations == 2 && !found.refined.settled && found.bound[0] > 1e-16);
            let norms = group.design.column_norms(group.context).unwrap();
            let hasty = Limit { iterations: 3, in_all: 3, gives_up: true };
            let outcome = cg(group, &norms, hasty, group.design.cut_off(), 0, None).unwrap();
            assert!(matches!(outcome, Outcome::Slow { needed, .. } if needed > 3));
        });
    }
}
