//! The iterations of a round.

use crate::error::Result;
use crate::matrix::{Mat, Real};
use crate::memory::collected;
use crate::regression::design::pass::Passes;
use crate::regression::methods::cg::side::Side;
use crate::regression::methods::cg::system::System;
use crate::regression::methods::outcome::{Limit, Made};
use crate::regression::refine::{Group, Refined, TARGETS};

/// Times as many iterations as the answers took may be spent on what is left of random vectors.
pub(super) const PATIENCE: usize = 2;
/// But so many they may.
pub(super) const FEWEST: usize = 20;

/// Iterates until every side has ended or the limit is reached; the iterations needed in all, if that can be foreseen to be
/// more. `best` is what is reported meanwhile.
pub(super) fn iterate<T: Real, M: Passes<T>>(
    group: &Group<'_, '_, T, M>,
    system: &System,
    limit: Limit,
    sides: &mut [Side],
    best: &Refined,
    made: &mut Made,
) -> Result<Option<usize>> {
    let mut running = collected((0..sides.len()).filter(|&side| !sides[side].has_ended), TARGETS)?;
    let (begun, mut most) = (made.iterations, limit.iterations);
    let answers = sides.iter().filter(|side| !side.is_probe()).count();
    while !running.is_empty() && made.iterations < most {
        let mut directions = Mat::zeros(system.scale.len(), running.len())?;
        for (i, &side) in running.iter().enumerate() {
            let direction = sides[side].direction.iter().zip(&system.scale);
            directions.col_mut(i).iter_mut().zip(direction).for_each(|(out, (p, s))| *out = p / s);
        }
        let pass = system.pass(group, &directions, &[])?;
        for (i, &side) in running.iter().enumerate() {
            sides[side].step(pass.squares[i], pass.gradient.col(i))?;
            sides[side].settle(group.tolerance);
        }
        *made = Made { reads: made.reads + 1, iterations: made.iterations + 1 };
        running.retain(|&side| !sides[side].has_ended);
        if most == limit.iterations && answers > 0 && running.iter().all(|&s| sides[s].is_probe()) {
            // The answers are there: what is left is to wait for what goes beside them.
            let made = made.iterations - begun;
            most = most.min(begun.saturating_add((1 + PATIENCE).saturating_mul(made).saturating_add(FEWEST)));
        }
        best.report(group.context, made.iterations, limit.iterations)?;
        let foreseen = running.iter().map(|&side| sides[side].iterations_needed(group.tolerance));
        let needed = foreseen.fold(0.0, f64::max);
        if limit.gives_up && made.iterations.is_multiple_of(3) && needed > limit.iterations as f64 {
            return Ok(Some(needed.min(1e9) as usize));
        }
    }
    let slow = limit.gives_up && running.iter().any(|&side| !sides[side].is_probe());
    Ok(slow.then(|| limit.iterations.saturating_add(1)))
}
