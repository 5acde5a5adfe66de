//! Rank and least norm without a factor.
//!
//! v less the shortest z with A z = A v is what A does not see of v. As many random vectors v as span the null space, and
//! one more, are no longer independent once that is taken off.

use crate::error::Result;
use crate::linalg::{eigh, orthonormal, product};
use crate::matrix::{Mat, Real};
use crate::memory::collected;
use crate::random::Stream;
use crate::regression::design::pass::Passes;
use crate::regression::methods::cg::iterate::iterate;
use crate::regression::methods::cg::side::LEFT;
use crate::regression::methods::cg::system::System;
use crate::regression::methods::outcome::{Limit, Made};
use crate::regression::refine::{Group, Refined, TARGETS};

/// Vectors that are tried at first, and at most.
const FEW: usize = 4;
const MANY: usize = 64;
/// The second time takes off what rounding has left of the first.
const ROUNDS: usize = 2;

/// The null space of A, which is not empty.
pub(super) struct NullSpace {
    /// Orthonormal, in the units of the design.
    pub basis: Mat<f64>,
    /// What A makes of it, relative to |A|_F.
    pub cut: f64,
}

/// `None` if the null space has 64 dimensions or more, or A makes more of it than `nothing`, or the search takes more than
/// `most` iterations at a time. `first` is what A does not see of the first random vector.
pub(super) fn null_space<T: Real, M: Passes<T>>(
    group: &Group<'_, '_, T, M>,
    system: &System,
    first: &Mat<f64>,
    random: &Stream,
    (most, nothing): (usize, f64),
    made: &mut Made,
) -> Result<Option<NullSpace>> {
    let few = FEW.min(system.present());
    let mut left = beside(first, &system.probes(random, 1..few as u64)?)?;
    if !take_off(group, system, &mut left, most, made)? {
        return Ok(None);
    }
    loop {
        let (count, basis) = (left.ncols(), span(system, &left)?);
        if basis.ncols() < count || count == system.present() {
            return proven(group, system, nothing, basis, made);
        }
        if count >= MANY {
            return Ok(None);
        }
        let more = (2 * count).min(system.present()) as u64;
        let mut others = system.probes(random, count as u64..more)?;
        if !take_off(group, system, &mut others, most, made)? {
            return Ok(None);
        }
        left = beside(&left, &others)?;
    }
}

/// Columns beside columns.
fn beside(left: &Mat<f64>, right: &Mat<f64>) -> Result<Mat<f64>> {
    Mat::from_fn(left.nrows(), left.ncols() + right.ncols(), |i, j| match j.checked_sub(left.ncols()) {
        None => left[(i, j)],
        Some(j) => right[(i, j)],
    })
}

/// Leaves of vectors, in the units of the design, what A does not see; false if that takes too long.
fn take_off<T: Real, M: Passes<T>>(
    group: &Group<'_, '_, T, M>,
    system: &System,
    vectors: &mut Mat<f64>,
    most: usize,
    made: &mut Made,
) -> Result<bool> {
    let none = Mat::zeros(vectors.nrows(), 0)?;
    let best = Refined::starting_at(&none)?;
    for _ in 0..ROUNDS {
        let mut sides = system.begin(group, &none, &[], false, &[], Some(vectors))?;
        made.reads += 1;
        let limit =
            Limit { iterations: made.iterations.saturating_add(most), in_all: usize::MAX, gives_up: false };
        iterate(group, system, limit, &mut sides, &best, made)?;
        if sides.iter().any(|side| !side.has_ended || side.is_lost) {
            return Ok(false);
        }
        for (i, side) in sides.iter().enumerate() {
            let end = side.end().zip(&system.scale);
            vectors.col_mut(i).iter_mut().zip(end).for_each(|(out, (value, s))| *out = value / s);
        }
    }
    Ok(true)
}

/// An orthonormal basis, in the units of the columns, of what vectors in the units of the design span.
fn span(system: &System, vectors: &Mat<f64>) -> Result<Mat<f64>> {
    let vectors = Mat::from_fn(vectors.nrows(), vectors.ncols(), |j, i| vectors[(j, i)] * system.scale[j])?;
    let gram = product(vectors.as_ref().t(), vectors.as_ref())?;
    let (values, directions) = eigh(&gram)?;
    let largest = values.last().copied().unwrap_or(0.0);
    let kept = collected((0..values.len()).filter(|&i| values[i] > LEFT * LEFT * largest), TARGETS)?;
    let weights =
        Mat::from_fn(values.len(), kept.len(), |i, j| directions[(i, kept[j])] / values[kept[j]].sqrt())?;
    product(vectors.as_ref(), weights.as_ref())
}

/// The null space, if one read shows that A has nothing of it.
fn proven<T: Real, M: Passes<T>>(
    group: &Group<'_, '_, T, M>,
    system: &System,
    nothing: f64,
    basis: Mat<f64>,
    made: &mut Made,
) -> Result<Option<NullSpace>> {
    let (d, count) = (basis.nrows(), basis.ncols());
    let vectors = Mat::from_fn(d, count, |j, i| basis[(j, i)] / system.scale[j])?;
    let pass = system.pass(group, &vectors, &[])?;
    made.reads += 1;
    if pass.squares.iter().any(|square| square.sqrt() > nothing) {
        return Ok(None);
    }
    let cut = pass.squares.iter().sum::<f64>().sqrt() / system.frobenius + 2.0 * f64::UNIT_ROUNDOFF;
    Ok(Some(NullSpace { basis: orthonormal(group.context, vectors)?, cut }))
}
