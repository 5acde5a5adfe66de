//! The model U S V', and how a change to it is made.

use crate::error::Result;
use crate::linalg::{cholesky, invert_upper, product, svd};
use crate::matrix::Mat;
use crate::memory::{collected, resize};
use crate::parallel::Context;
use crate::state::Stored;
use crate::svd::updates::ledger::Ledger;
use crate::svd::updates::probe::{Probe, Probed};
use crate::svd::updates::ritz::VALUES;
use crate::svd::updates::side::{Rewrite, Side, Update};

/// What is appended, or goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Rows, below.
    Rows,
    /// Columns, on the right.
    Columns,
}

/// A truncated singular value decomposition, both sides in numbers of type `T`.
pub struct TruncatedSvd<T> {
    pub(super) left: Side<T>,
    pub(super) right: Side<T>,
    /// Singular values, the largest first.
    pub(super) s: Vec<f64>,
    /// Most triplets that are kept.
    pub(super) most: usize,
    pub(super) ledger: Ledger,
    pub(super) moments: Moments,
    pub(super) counters: Counters,
    pub(super) policy: Policy,
    /// Nothing once a column went that nobody told.
    pub(super) probe: Option<Probe>,
}

/// What a model does beside following its matrix.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Policy {
    /// The seed of a random probe.
    pub probe: Option<u64>,
    /// Whether singular values shrink by the next one.
    pub robust: bool,
}

/// What means and variances of the columns of A take. A row that has decayed to w x counts w^2.
#[derive(Clone, Debug, PartialEq)]
pub struct Moments {
    /// The sum of the weights of the rows, and of their squares.
    pub weights: [f64; 2],
    /// The weighted sum of the rows, by slot of the column; nothing once it is not known.
    pub sums: Option<Vec<f64>>,
}

/// What happened on the way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Counters {
    /// Updates for which a Gram matrix would not have been accurate.
    pub fallbacks: u64,
    /// Times that both sides were made orthonormal again.
    pub repairs: u64,
    /// Updates since orthonormality was last looked at.
    pub unchecked: u64,
}

/// A change, worked out but not made.
pub struct Change<T> {
    pub(super) left: Option<Rewrite<T>>,
    pub(super) right: Option<Rewrite<T>>,
    pub(super) s: Vec<f64>,
    pub(super) most: usize,
    pub(super) ledger: Ledger,
    pub(super) weights: [f64; 2],
    pub(super) sums: Sums,
    pub(super) probed: Probed,
    pub(super) fallback: bool,
    /// Whether orthonormality is to be looked at.
    pub(super) look: bool,
}

/// What becomes of the sum of the rows.
pub(super) enum Sums {
    /// Times a number.
    Scaled(f64),
    /// More for some columns, by position after the change.
    More(Vec<(usize, f64)>),
    Unknown,
}

impl<T> Change<T> {
    /// Whether a Gram matrix would not have been accurate.
    pub fn fell_back(&self) -> bool {
        self.fallback
    }
}

/// Updates between two looks at orthonormality.
const A_LOOK: u64 = 64;
/// What is repaired, in double and in single precision; and what orthonormal sides are known to, which is as far as they are
/// brought after a delete.
const REPAIR: [f64; 2] = [1e-10, 1e-5];
const ROUNDING: [f64; 2] = [1e-14, 1e-7];

impl<T: Stored> TruncatedSvd<T> {
    /// Of a matrix without rows and columns.
    pub fn new(most: usize) -> Result<Self> {
        Self::with_policy(most, Policy::default())
    }

    /// The same, which does something beside.
    pub fn with_policy(most: usize, policy: Policy) -> Result<Self> {
        Ok(Self {
            left: Side::new(most)?,
            right: Side::new(most)?,
            s: Vec::new(),
            most,
            ledger: Ledger::EMPTY,
            moments: Moments { weights: [0.0; 2], sums: Some(Vec::new()) },
            counters: Counters::default(),
            policy,
            probe: policy.probe.map(Probe::new),
        })
    }

    /// Rows and columns.
    pub fn shape(&self) -> (usize, usize) {
        (self.left.len(), self.right.len())
    }

    /// The singular values that are kept, the largest first.
    pub fn values(&self) -> &[f64] {
        &self.s
    }

    /// Most triplets that are kept.
    pub fn most(&self) -> usize {
        self.most
    }

    /// What updates have left out.
    pub fn ledger(&self) -> Ledger {
        self.ledger
    }

    /// What happened on the way.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// What it does beside following its matrix.
    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// Bytes that it takes.
    pub fn bytes(&self) -> usize {
        self.left.bytes()
            + self.right.bytes()
            + self.probe.as_ref().map_or(0, Probe::bytes)
            + 8 * (self.s.len() + self.moments.sums.as_ref().map_or(0, Vec::len))
    }

    /// The largest entry of U'U - I and V'V - I, without a look at the rows.
    pub fn orthogonality(&self) -> Result<f64> {
        let context = Context::new(1);
        let of = |side: &Side<T>| {
            Ok::<_, crate::error::Error>(distance_to_identity(&side.measured_gram(&context)?))
        };
        Ok(of(&self.left)?.max(of(&self.right)?))
    }

    /// A change that leaves everything as it is.
    pub(super) fn unchanged(&self) -> Result<Change<T>> {
        Ok(Change {
            left: None,
            right: None,
            s: collected(self.s.iter().copied(), VALUES)?,
            most: self.most,
            ledger: self.ledger,
            weights: self.moments.weights,
            sums: Sums::Scaled(1.0),
            probed: Probed::Scaled(1.0),
            fallback: false,
            look: false,
        })
    }

    /// Works out the model times a number.
    pub fn decayed(&self, gamma: f64) -> Result<Change<T>> {
        let s = collected(self.s.iter().map(|s| s * gamma), VALUES)?;
        let squared = gamma * gamma;
        let [weight, of_squares] = self.moments.weights;
        Ok(Change {
            s,
            ledger: self.ledger.scaled(gamma),
            weights: [weight * squared, of_squares * squared * squared],
            sums: Sums::Scaled(squared),
            probed: Probed::Scaled(gamma),
            ..self.unchanged()?
        })
    }

    /// Works out the model with no more than so many triplets, now and later.
    pub fn truncated(&self, context: &Context, most: usize) -> Result<Change<T>> {
        let kept = self.s.len().min(most);
        let first = |side: &Side<T>| {
            let rotation = Mat::from_fn(kept, self.s.len(), |j, i| f64::from(i == j))?;
            side.rewrite(context, Update::rotation(rotation))
        };
        let (s, rest) = self.s.split_at(kept);
        let discarded = rest.iter().map(|s| s * s).sum();
        let next = rest.first().copied().unwrap_or(0.0);
        Ok(Change {
            left: Some(first(&self.left)?),
            right: Some(first(&self.right)?),
            s: collected(s.iter().copied(), VALUES)?,
            most,
            ledger: self.ledger.after(self.ledger.kind, 0.0, next, discarded),
            ..self.unchanged()?
        })
    }

    /// True while no row has decayed.
    pub(super) fn is_unweighted(&self) -> bool {
        self.moments.weights[0] == self.left.len() as f64
    }

    /// Makes a change; an error leaves the model as it was.
    pub fn apply(&mut self, change: Change<T>) -> Result<()> {
        let Change { left, right, s, most, ledger, weights, sums, probed, fallback, look } = change;
        let rotated = left.is_some();
        for (side, rewrite) in [(&mut self.left, &left), (&mut self.right, &right)] {
            rewrite.as_ref().map_or(Ok(()), |rewrite| side.reserve(rewrite))?;
        }
        if let Some(probe) = &mut self.probe {
            probe.reserve(left.as_ref(), right.as_ref())?;
        }
        if let (Some(sums), Some(right)) = (&mut self.moments.sums, &right) {
            let len = sums.len().max(right.slots());
            resize(sums, len, 0.0, VALUES)?;
            right.removed().iter().for_each(|&position| sums[self.right.slot(position) as usize] = 0.0);
        }
        if let Some(probe) = &mut self.probe {
            probe.follow(&self.left, left.as_ref(), right.as_ref());
        }
        for (side, rewrite) in [(&mut self.left, left), (&mut self.right, right)] {
            if let Some(rewrite) = rewrite {
                side.commit(rewrite);
            }
        }
        let (size, energy) = (size(&self.s).max(size(&s)), self.ledger.energy.max(ledger.energy));
        let ledger = if rotated { ledger.rounded(T::UNIT_ROUNDOFF, size, energy) } else { ledger };
        (self.s, self.most, self.ledger, self.moments.weights) = (s, most, ledger, weights);
        match (sums, &mut self.moments.sums) {
            (Sums::Scaled(factor), Some(sums)) if factor != 1.0 => {
                sums.iter_mut().for_each(|sum| *sum *= factor)
            }
            (Sums::More(more), Some(sums)) => {
                more.into_iter().for_each(|(column, more)| sums[self.right.slot(column) as usize] += more);
            }
            (Sums::Unknown, _) => self.moments.sums = None,
            _ => {}
        }
        match (probed, &mut self.probe) {
            (Probed::Scaled(factor), Some(probe)) if factor != 1.0 => {
                probe.rows.iter_mut().for_each(|value| *value *= factor);
            }
            (Probed::More(positions, more), Some(probe)) => probe.add(&self.left, &positions, &more),
            (Probed::Lost, _) => self.probe = None,
            _ => {}
        }
        self.counters.fallbacks += u64::from(fallback);
        self.counters.unchecked += u64::from(rotated);
        if look || self.counters.unchecked >= A_LOOK {
            self.counters.unchecked = 0;
            let single = T::as_f64(&[]).is_none();
            let limit = if look { 2.0 * ROUNDING[usize::from(single)] } else { REPAIR[usize::from(single)] };
            // Without memory for it there is another occasion.
            let _ = self.repair(limit);
        }
        Ok(())
    }

    /// Makes both sides orthonormal again where they are farther from it, in time that does not depend on the rows.
    fn repair(&mut self, limit: f64) -> Result<()> {
        let context = Context::new(1);
        let (left, right) = (self.left.measured_gram(&context)?, self.right.measured_gram(&context)?);
        if distance_to_identity(&left).max(distance_to_identity(&right)) <= limit {
            return Ok(());
        }
        let (Some(left), Some(right)) = (cholesky(&left)?, cholesky(&right)?) else { return Ok(()) };
        let l = self.s.len();
        let scaled = Mat::from_fn(l, l, |i, j| left[(i, j)] * self.s[j])?;
        let found = svd(product(scaled.as_ref(), right.as_ref().t())?.as_ref())?;
        let of = |side: &Side<T>, r: &Mat<f64>, turned: &Mat<f64>| {
            let rotation = product(turned.as_ref().t(), invert_upper(r.as_ref())?.as_ref().t())?;
            side.rewrite(&context, Update::rotation(rotation))
        };
        let (left, right) = (of(&self.left, &left, &found.u)?, of(&self.right, &right, &found.v)?);
        self.left.reserve(&left)?;
        self.right.reserve(&right)?;
        self.left.commit(left);
        self.right.commit(right);
        self.s = found.s;
        self.counters.repairs += 1;
        Ok(())
    }
}

/// No less than the norm, whose square may be out of range.
pub(super) fn size(s: &[f64]) -> f64 {
    s.first().map_or(0.0, |largest| largest * (s.len() as f64).sqrt())
}

/// The largest entry of G - I.
pub(super) fn distance_to_identity(gram: &Mat<f64>) -> f64 {
    let entry = |(i, j): (usize, usize)| (gram[(i, j)] - f64::from(i == j)).abs();
    let n = gram.ncols();
    (0..n).flat_map(|j| (0..n).map(move |i| (i, j))).map(entry).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::Matrix;
    use crate::svd::testing::{compressed, numbers};
    use crate::svd::updates::append::Method;
    use crate::svd::updates::side::CHUNK;

    const METHODS: [Method; 3] = [Method::Gram, Method::Qr, Method::Krylov];

    fn dense<T: Stored>(model: &TruncatedSvd<T>) -> Mat<f64> {
        let [u, v] = factors(model);
        let scaled = Mat::from_fn(u.nrows(), u.ncols(), |i, j| u[(i, j)] * model.s[j]).unwrap();
        product(scaled.as_ref(), v.as_ref().t()).unwrap()
    }

    fn factors<T: Stored>(model: &TruncatedSvd<T>) -> [Mat<f64>; 2] {
        [&model.left, &model.right].map(|side| {
            let mut out = Mat::zeros(side.len(), side.width()).unwrap();
            side.copy_to(&Context::new(2), out.as_mut()).unwrap();
            out
        })
    }

    fn departure<T: Stored>(model: &TruncatedSvd<T>) -> f64 {
        factors(model)
            .iter()
            .map(|side| distance_to_identity(&product(side.as_ref().t(), side.as_ref()).unwrap()))
            .fold(0.0, f64::max)
    }

    fn distance(a: &Mat<f64>, b: &Mat<f64>) -> f64 {
        assert_eq!((a.nrows(), a.ncols()), (b.nrows(), b.ncols()));
        a.as_slice().iter().zip(b.as_slice()).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
    }

    /// The best approximation of that rank.
    fn best(a: &Mat<f64>, rank: usize) -> Mat<f64> {
        let found = svd(a.as_ref()).unwrap();
        let rank = rank.min(found.s.len());
        let u = Mat::from_fn(a.nrows(), rank, |i, j| found.u[(i, j)] * found.s[j]).unwrap();
        product(u.as_ref(), found.v.as_ref().cols(0..rank).t()).unwrap()
    }

    /// Most entries are zero, some columns wholly.
    fn sparse(n: usize, d: usize, seed: usize) -> Mat<f64> {
        let all = numbers(n, d, seed);
        Mat::from_fn(n, d, |i, j| {
            if (i * 7 + j * 3 + seed).is_multiple_of(5) && j % 4 != 3 { all[(i, j)] } else { 0.0 }
        })
        .unwrap()
    }

    fn update<T: Stored>(model: &mut TruncatedSvd<T>, end: End, method: Method, x: &Mat<f64>) {
        let context = Context::new(2);
        let stored = compressed(x);
        let change = model.appended(&context, end, method, &Matrix::Sparse(stored.as_ref())).unwrap();
        model.apply(change).unwrap();
    }

    #[test]
    fn updates_are_the_best_approximation_to_the_model_with_the_change() {
        for method in METHODS {
            let mut model = TruncatedSvd::<f64>::new(8).unwrap();
            for (step, (end, count)) in [
                (End::Rows, 30),
                (End::Rows, 1),
                (End::Columns, 6),
                (End::Rows, 20),
                (End::Columns, 1),
                (End::Rows, 70),
            ]
            .into_iter()
            .enumerate()
            {
                let before = dense(&model);
                let (m, n) = (before.nrows(), before.ncols());
                let (x, after) = match end {
                    End::Rows => {
                        let x = sparse(count, n.max(25) + step, step);
                        let a = Mat::from_fn(m + count, x.ncols(), |i, j| match i.checked_sub(m) {
                            Some(i) => x[(i, j)],
                            None if j < n => before[(i, j)],
                            None => 0.0,
                        });
                        (x, a.unwrap())
                    }
                    End::Columns => {
                        let x = sparse(m, count, step);
                        let a = Mat::from_fn(m, n + count, |i, j| match j.checked_sub(n) {
                            Some(j) => x[(i, j)],
                            None => before[(i, j)],
                        });
                        (x, a.unwrap())
                    }
                };
                update(&mut model, end, method, &x);
                let error = distance(&dense(&model), &best(&after, 8));
                assert!(error < 1e-11, "{method:?} {step}: {error:e}");
                let (departure, tracked) = (departure(&model), model.orthogonality().unwrap());
                assert!(departure < 1e-12, "{method:?} {step}: {departure:e}");
                assert!((departure - tracked).abs() < 1e-13, "{departure:e} {tracked:e}");
            }
        }
    }

    /// Noise of that norm on the rows as they are stored, of which the levels are told.
    fn disturb(side: &mut Side<f64>, size: f64) {
        let noise = numbers(side.level.len(), side.stride, 3);
        let size = size / (side.len() as f64).sqrt();
        side.levels.iter_mut().for_each(|level| level.gram.as_mut_slice().fill(0.0));
        for slot in 0..side.level.len() {
            let Some(level) = side.levels.get_mut(usize::from(side.level[slot])) else { continue };
            let depth = level.gram.nrows();
            let row = &mut side.chunks[slot / CHUNK][slot % CHUNK * side.stride..][..depth];
            row.iter_mut().enumerate().for_each(|(j, value)| *value += size * noise[(slot, j)]);
            for (i, j) in (0..depth).flat_map(|j| (0..depth).map(move |i| (i, j))) {
                level.gram[(i, j)] += row[i] * row[j];
            }
        }
    }

    #[test]
    fn a_repair_makes_sides_orthonormal_and_leaves_the_model() {
        let rows = |model: &mut TruncatedSvd<f64>, count, seed| {
            update(model, End::Rows, Method::Auto, &sparse(count, 40, seed));
        };
        let mut model = TruncatedSvd::<f64>::new(8).unwrap();
        (0..6).for_each(|step| rows(&mut model, 64 >> step, step));
        assert!(model.left.height() > 2 && model.right.height() > 1);
        let (before, s) = (dense(&model), model.s[0]);
        disturb(&mut model.left, 1e-6);
        disturb(&mut model.right, 1e-6);
        let disturbed = departure(&model);
        assert!(disturbed > 1e-7 && (model.orthogonality().unwrap() / disturbed - 1.0).abs() < 1e-6);
        let mut repaired = model.copy(&Context::new(1)).unwrap();
        repaired.repair(REPAIR[0]).unwrap();
        assert!(departure(&repaired) < 1e-13 && repaired.orthogonality().unwrap() < 1e-13);
        let mut change = dense(&repaired);
        change.as_mut_slice().iter_mut().zip(before.as_slice()).for_each(|(x, before)| *x -= before);
        let change = svd(change.as_ref()).unwrap().s[0];
        assert!(change <= 3e-6 * s, "{:e}", change / s);
        assert_eq!(repaired.counters.repairs, 1);
        // Nobody has to ask for it.
        (0..A_LOOK as usize).for_each(|step| rows(&mut model, 1, step));
        assert_eq!(model.counters.repairs, 1);
        assert!(departure(&model) < 1e-12);
    }

    #[test]
    fn rows_and_columns_go() {
        let context = Context::new(1);
        let mut model = TruncatedSvd::<f64>::new(6).unwrap();
        update(&mut model, End::Rows, Method::Auto, &sparse(60, 40, 1));
        for (end, gone) in
            [(End::Rows, vec![0, 3, 4, 59]), (End::Columns, vec![1, 39]), (End::Rows, (0..30).collect())]
        {
            let before = dense(&model);
            let change = model.deleted(&context, end, &gone, None).unwrap();
            model.apply(change).unwrap();
            let kept = |count: usize| (0..count).filter(|i| !gone.contains(i)).collect::<Vec<_>>();
            let (rows, columns) = match end {
                End::Rows => (kept(before.nrows()), (0..before.ncols()).collect()),
                End::Columns => ((0..before.nrows()).collect(), kept(before.ncols())),
            };
            let after =
                Mat::from_fn(rows.len(), columns.len(), |i, j| before[(rows[i], columns[j])]).unwrap();
            assert!(distance(&dense(&model), &after) < 1e-12);
            assert!(departure(&model) < 1e-12);
        }
        update(&mut model, End::Rows, Method::Auto, &sparse(9, 38, 2));
        assert_eq!(model.shape(), (35, 38));
        assert!(departure(&model) < 1e-12);
    }
}
