//! What changes bring to a probe, and what it says.

use crate::error::{Error, Result};
use crate::linalg::matmul;
use crate::matrix::{Mat, Matrix, Products, Real, even_blocks};
use crate::memory::{collected, copied};
use crate::parallel::Context;
use crate::state::Stored;
use crate::svd::updates::batch::Batch;
use crate::svd::updates::probe::{DRAWS, PROBE, Probe, Probed, Squares};
use crate::svd::updates::side::{Side, Upward};
use crate::svd::updates::truncated::{End, TruncatedSvd};
use std::ops::Range;

/// Rows that are looked at together.
const BLOCK: usize = 1024;

impl<T: Stored> TruncatedSvd<T> {
    /// What rows, or columns, in units of `unit` bring.
    pub(super) fn probed_batch<B: Real>(
        &self,
        context: &Context,
        end: End,
        batch: &Batch<'_, B>,
        unit: f64,
    ) -> Result<Probed> {
        let Some(probe) = &self.probe else { return Ok(Probed::Lost) };
        let (m, count) = (self.left.len(), batch.shape().0);
        let (positions, mut more) = match end {
            End::Rows => {
                let omega = probe.omega_at(&self.right, batch.columns())?;
                (collected(m..m + count, PROBE)?, batch.times(context, &omega)?)
            }
            End::Columns => {
                let omega = probe.omega(&collected(probe.next..probe.next + count as u64, PROBE)?)?;
                (copied(batch.columns(), PROBE)?, batch.transposed_times(context, &omega)?)
            }
        };
        more.as_mut_slice().iter_mut().for_each(|value| *value *= unit);
        Ok(Probed::More(positions, more))
    }

    /// What entries bring to which something is added.
    pub(super) fn probed_entries(&self, rows: &[usize], columns: &[usize], deltas: &[f64]) -> Result<Probed> {
        let Some(probe) = &self.probe else { return Ok(Probed::Lost) };
        let mut more = probe.omega_at(&self.right, columns)?;
        for (i, delta) in deltas.iter().enumerate() {
            more.col_mut(i).iter_mut().for_each(|value| *value *= delta);
        }
        Ok(Probed::More(copied(rows, PROBE)?, more))
    }

    /// What X Y' brings, of the rows of X' and Y'.
    pub(super) fn probed_product<X: Real, Y: Real>(
        &self,
        context: &Context,
        x: &Batch<'_, X>,
        y: &Batch<'_, Y>,
    ) -> Result<Probed> {
        let Some(probe) = &self.probe else { return Ok(Probed::Lost) };
        let omega = probe.omega_at(&self.right, y.columns())?;
        let more = x.transposed_times(context, &y.times(context, &omega)?)?;
        Ok(Probed::More(copied(x.columns(), PROBE)?, more))
    }

    /// What the rows of another model bring, if its Omega is ours.
    pub(super) fn probed_rows_of(&self, other: &Self) -> Result<Probed> {
        let (Some(ours), Some(theirs)) = (&self.probe, &other.probe) else { return Ok(Probed::Lost) };
        let serial = |probe: &Probe, slot: u32| probe.serials[slot as usize];
        let mut pairs = self.right.slots().zip(other.right.slots());
        if ours.seed != theirs.seed || !pairs.all(|(a, b)| serial(ours, a) == serial(theirs, b)) {
            return Ok(Probed::Lost);
        }
        let mut more = Mat::zeros(DRAWS, other.left.len())?;
        for (i, slot) in other.left.slots().enumerate() {
            more.col_mut(i).copy_from_slice(&theirs.rows[slot as usize * DRAWS..][..DRAWS]);
        }
        let m = self.left.len();
        Ok(Probed::More(collected(m..m + other.left.len(), PROBE)?, more))
    }

    /// What columns at these positions take with them, of which the rows of `batch` tell what they are.
    pub fn probed_columns<B: Real>(
        &self,
        context: &Context,
        positions: &[usize],
        values: &Matrix<'_, B>,
    ) -> Result<Option<(Vec<usize>, Mat<f64>)>> {
        let Some(probe) = &self.probe else { return Ok(None) };
        let omega = probe.omega_at(&self.right, positions)?;
        let mut less = Mat::zeros(DRAWS, values.nrows())?;
        values.product(context, omega.as_ref().t(), less.as_mut().t())?;
        less.as_mut_slice().iter_mut().for_each(|value| *value = -*value);
        Ok(Some((collected(0..values.nrows(), PROBE)?, less)))
    }

    /// How far A is from its first k triplets, by each random vector, and how large A is; nothing without a probe.
    pub fn probed(&self, context: &Context, k: usize) -> Result<Option<Squares>> {
        let Some(probe) = &self.probe else { return Ok(None) };
        let (of_left, of_right) = (self.left.upward(0)?, self.right.upward(0)?);
        let read = |side: &Side<T>, upward: &Upward, positions: Range<usize>| {
            let slots = collected(side.order.range(positions).copied(), PROBE)?;
            // Within a block of rows there is nothing to share.
            let (rows, _) = side.gather_by(&Context::new(1), &slots, upward, 0)?;
            Ok::<_, Error>((slots, rows))
        };
        let mut along = Mat::zeros(DRAWS, k)?;
        let blocks = even_blocks(self.right.len(), BLOCK)?;
        let part = |(): &mut (), block: usize| {
            let (slots, rows) = read(&self.right, &of_right, blocks[block].clone())?;
            let serials = collected(slots.iter().map(|&slot| probe.serials[slot as usize]), PROBE)?;
            let mut part = Mat::zeros(DRAWS, k)?;
            let v = rows.as_ref().rows(0..k).t();
            matmul(part.as_mut(), false, probe.omega(&serials)?.as_ref(), v, 1.0);
            Ok(part)
        };
        context.fold_with(
            blocks.len(),
            || (),
            part,
            |part: Mat<f64>| {
                along.as_mut_slice().iter_mut().zip(part.as_slice()).for_each(|(sum, part)| *sum += part);
            },
        )?;
        for (j, s) in self.s.iter().take(k).enumerate() {
            along.col_mut(j).iter_mut().for_each(|value| *value *= s);
        }
        let mut squares: Squares = [[0.0; DRAWS]; 2];
        let blocks = even_blocks(self.left.len(), BLOCK)?;
        let part = |(): &mut (), block: usize| {
            let (slots, rows) = read(&self.left, &of_left, blocks[block].clone())?;
            let mut model = Mat::zeros(DRAWS, slots.len())?;
            matmul(model.as_mut(), false, along.as_ref(), rows.as_ref().rows(0..k), 1.0);
            let mut part: Squares = [[0.0; DRAWS]; 2];
            for (i, &slot) in slots.iter().enumerate() {
                let y = &probe.rows[slot as usize * DRAWS..][..DRAWS];
                for draw in 0..DRAWS {
                    let rest = y[draw] - model[(draw, i)];
                    part[0][draw] += rest * rest;
                    part[1][draw] += y[draw] * y[draw];
                }
            }
            Ok(part)
        };
        context.fold_with(
            blocks.len(),
            || (),
            part,
            |part| {
                let sums = squares.iter_mut().flatten();
                sums.zip(part.iter().flatten()).for_each(|(sum, part)| *sum += part);
            },
        )?;
        Ok(Some(squares))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::svd::params::Params;
    use crate::svd::testing::{compressed, numbers};
    use crate::svd::updates::append::Method;
    use crate::svd::updates::truncated::Policy;

    /// Y is A Omega, whatever became of A.
    fn check(model: &TruncatedSvd<f64>, a: &Mat<f64>) {
        let probe = model.probe.as_ref().unwrap();
        let every: Vec<usize> = (0..a.ncols()).collect();
        let omega = probe.omega_at(&model.right, &every).unwrap();
        for i in 0..a.nrows() {
            for draw in 0..DRAWS {
                let expected: f64 = every.iter().map(|&j| a[(i, j)] * omega[(draw, j)]).sum();
                let found = probe.rows[model.left.slot(i) as usize * DRAWS + draw];
                assert!((found - expected).abs() < 1e-12, "{i} {draw}: {found} {expected}");
            }
        }
    }

    #[test]
    fn follows_all_changes() {
        let context = Context::new(2);
        let policy = Policy { probe: Some(7), robust: false };
        let a = numbers(30, 20, 1);
        let params =
            Params { k: 6, exact: 6, solver: None, tolerance: 1e-10, max_iter: 1000, seed: 0, start: None };
        let fit = |a: &Mat<f64>| {
            TruncatedSvd::fit(&context, &Matrix::Dense(a.as_ref()), &params, 6, policy, false).unwrap().0
        };
        let mut model: TruncatedSvd<f64> = fit(&a);
        check(&model, &a);
        let apply = |model: &mut TruncatedSvd<f64>, change| model.apply(change).unwrap();
        let rows = numbers(4, 23, 2);
        let stored = compressed(&rows);
        let change =
            model.appended(&context, End::Rows, Method::Auto, &Matrix::Sparse(stored.as_ref())).unwrap();
        apply(&mut model, change);
        let a = Mat::from_fn(34, 23, |i, j| {
            if i < 30 { if j < 20 { a[(i, j)] } else { 0.0 } } else { rows[(i - 30, j)] }
        })
        .unwrap();
        check(&model, &a);
        let columns = numbers(34, 2, 3);
        let change =
            model.appended(&context, End::Columns, Method::Auto, &Matrix::Dense(columns.as_ref())).unwrap();
        apply(&mut model, change);
        let a = Mat::from_fn(34, 25, |i, j| if j < 23 { a[(i, j)] } else { columns[(i, j - 23)] }).unwrap();
        check(&model, &a);
        let change = model.deleted(&context, End::Rows, &[0, 7], None).unwrap();
        apply(&mut model, change);
        let kept = |i: usize| (0..34).filter(|i| ![0, 7].contains(i)).nth(i).unwrap();
        let a = Mat::from_fn(32, 25, |i, j| a[(kept(i), j)]).unwrap();
        check(&model, &a);
        let change = model.decayed(0.5).unwrap();
        apply(&mut model, change);
        let mut a = Mat::from_fn(32, 25, |i, j| 0.5 * a[(i, j)]).unwrap();
        check(&model, &a);
        let change =
            model.with_entries(&context, (&[3, 3, 9], &[1, 1, 24]), &[1.0, 2.0, -4.0], None).unwrap();
        apply(&mut model, change);
        (a[(3, 1)], a[(9, 24)]) = (a[(3, 1)] + 3.0, a[(9, 24)] - 4.0);
        check(&model, &a);
        let (x, y) = (numbers(32, 2, 4), numbers(25, 2, 5));
        let change =
            model.with_product(&context, &Matrix::Dense(x.as_ref()), &Matrix::Dense(y.as_ref())).unwrap();
        apply(&mut model, change);
        let a =
            Mat::from_fn(32, 25, |i, j| a[(i, j)] + x[(i, 0)] * y[(j, 0)] + x[(i, 1)] * y[(j, 1)]).unwrap();
        check(&model, &a);
        let bytes = {
            let saved = model.save(String::new()).unwrap();
            let mut bytes = vec![0; saved.size().unwrap()];
            saved.write(&context, &mut bytes).unwrap();
            bytes
        };
        check(&TruncatedSvd::from_bytes(&context, &bytes).unwrap().0, &a);
        // Columns that are told, in any order, and a row in a slot that is free.
        let gone = Mat::from_fn(32, 2, |i, j| a[(i, [5, 2][j])]).unwrap();
        let gone = Matrix::Dense(gone.as_ref());
        let mut values = crate::svd::updates::Values::of(&context, End::Columns, &gone).unwrap();
        values.probed = model.probed_columns(&context, &[5, 2], &gone).unwrap();
        let change = model.deleted(&context, End::Columns, &[2, 5], Some(values)).unwrap();
        apply(&mut model, change);
        let kept = |j: usize| (0..25).filter(|j| ![2, 5].contains(j)).nth(j).unwrap();
        let a = Mat::from_fn(32, 23, |i, j| a[(i, kept(j))]).unwrap();
        check(&model, &a);
        let row = numbers(1, 24, 6);
        let change = model.appended(&context, End::Rows, Method::Auto, &Matrix::Dense(row.as_ref())).unwrap();
        apply(&mut model, change);
        let a = Mat::from_fn(33, 24, |i, j| {
            if i == 32 {
                row[(0, j)]
            } else if j < 23 {
                a[(i, j)]
            } else {
                0.0
            }
        })
        .unwrap();
        check(&model, &a);
        // What it sees of the error is what the error times Omega is.
        let squares = model.probed(&context, 3).unwrap().unwrap();
        let rank_0 = model.probed(&context, 0).unwrap().unwrap();
        assert!(rank_0[0].iter().zip(&squares[1]).all(|(x, y)| (x - y).abs() < 1e-12 * y));
        assert!(squares[0].iter().sum::<f64>() < squares[1].iter().sum::<f64>());
        // A column that nobody told.
        let change = model.deleted(&context, End::Columns, &[0], None).unwrap();
        apply(&mut model, change);
        assert!(model.probe.is_none() && model.probed(&context, 3).unwrap().is_none());
        let refreshed = model.refreshed(&context, &Matrix::Dense(numbers(33, 23, 8).as_ref()), 2).unwrap();
        check(&refreshed, &numbers(33, 23, 8));
    }

    #[test]
    fn models_are_merged_with_those_whose_vectors_are_the_same() {
        let context = Context::new(1);
        let params =
            Params { k: 6, exact: 6, solver: None, tolerance: 1e-10, max_iter: 1000, seed: 0, start: None };
        let (a, b) = (numbers(30, 20, 1), numbers(12, 20, 2));
        for (seed, kept) in [(7, true), (8, false)] {
            let fit = |a: &Mat<f64>, seed| {
                let policy = Policy { probe: Some(seed), robust: false };
                TruncatedSvd::<f64>::fit(&context, &Matrix::Dense(a.as_ref()), &params, 6, policy, false)
                    .unwrap()
                    .0
            };
            let (mut ours, theirs) = (fit(&a, 7), fit(&b, seed));
            let change = ours.merged(&context, &theirs).unwrap();
            ours.apply(change).unwrap();
            assert_eq!(ours.probe.is_some(), kept);
            if kept {
                check(
                    &ours,
                    &Mat::from_fn(42, 20, |i, j| if i < 30 { a[(i, j)] } else { b[(i - 30, j)] }).unwrap(),
                );
            }
            assert!(
                ours.merged(&context, &TruncatedSvd::with_policy(6, Policy::default()).unwrap()).is_err()
            );
        }
    }
}
