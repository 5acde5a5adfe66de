//! Changes to entries that are there.

use crate::error::Result;
use crate::linalg::norm;
use crate::matrix::{Axis, Indices, Mat, Matrix, Products, Real, SparseBuf, Triplets};
use crate::memory::collected;
use crate::parallel::Context;
use crate::state::Stored;
use crate::svd::updates::batch::{Batch, transposed};
use crate::svd::updates::changes::{Changed, Outer, Sum};
use crate::svd::updates::coordinates::Coordinates;
use crate::svd::updates::ledger::Kind;
use crate::svd::updates::ritz::VALUES;
use crate::svd::updates::side::{Gathered, Side, Update};
use crate::svd::updates::truncated::{Change, Sums, TruncatedSvd};

/// Changes of no more rows or columns than so many times the triplets are decomposed as a whole.
const MANY: usize = 6;

/// A side and the rows of it that a change touches.
struct Touch<'a, T> {
    side: &'a Side<T>,
    slots: Vec<u32>,
    gathered: Gathered,
}

impl<'a, T: Stored> Touch<'a, T> {
    fn new(context: &Context, side: &'a Side<T>, positions: &[usize]) -> Result<Self> {
        let slots = side.slots_at(positions)?;
        let gathered = side.gather(context, &slots, side.levels_below(slots.len()))?;
        Ok(Self { side, slots, gathered })
    }
}

impl<T: Stored> TruncatedSvd<T> {
    /// Works out the model with something added to some entries: rows, columns and what is added, in any order. `energy` is
    /// what that adds to |A|_F^2, where it is known.
    pub fn with_entries(
        &self,
        context: &Context,
        (rows, columns): (&[usize], &[usize]),
        deltas: &[f64],
        energy: Option<f64>,
    ) -> Result<Change<T>> {
        let probed = self.probed_entries(rows, columns, deltas)?;
        let (touched_rows, rows) = numbered(rows)?;
        let (touched_columns, columns) = numbered(columns)?;
        let left = Touch::new(context, &self.left, &touched_rows)?;
        let right = Touch::new(context, &self.right, &touched_columns)?;
        let shape = (touched_rows.len(), touched_columns.len());
        let (of_rows, of_columns) = (Indices::I64(&rows), Indices::I64(&columns));
        let change: SparseBuf<f64> =
            Triplets { argument: "deltas", shape, rows: of_rows, columns: of_columns, values: deltas }
                .compressed(context, Axis::Rows)?;
        let change = change.as_ref();
        let (mut crossed, mut squares) = (0.0, 0.0);
        change.visit_rows(0..shape.0, |i, j, delta| {
            let (u, v) = (left.gathered.rows.col(i), right.gathered.rows.col(j));
            let entry: f64 = u.iter().zip(v).zip(&self.s).map(|((u, v), s)| u * s * v).sum();
            (crossed, squares) = (crossed + entry * delta, squares + delta * delta);
        });
        let added =
            collected((0..deltas.len()).map(|k| (touched_columns[columns[k] as usize], deltas[k])), VALUES)?;
        let sum = self.sum(context, &left, &right, change, 2.0 * crossed + squares)?;
        let found = sum.solve(context, MANY * self.most)?;
        Ok(Change { probed, ..self.changed(context, (left, right), found, added, energy)? })
    }

    /// Works out the model plus X Y', of m x s and n x s matrices.
    pub fn with_product<X: Real, Y: Real>(
        &self,
        context: &Context,
        x: &Matrix<'_, X>,
        y: &Matrix<'_, Y>,
    ) -> Result<Change<T>> {
        Batch::with(context, &transposed(x), |x| {
            Batch::with(context, &transposed(y), |y| self.with_outer(context, x, y))
        })
    }

    fn with_outer<X: Real, Y: Real>(
        &self,
        context: &Context,
        x: &Batch<'_, X>,
        y: &Batch<'_, Y>,
    ) -> Result<Change<T>> {
        let left = Touch::new(context, &self.left, x.columns())?;
        let right = Touch::new(context, &self.right, y.columns())?;
        let (along_x, along_y) =
            (x.times(context, &left.gathered.rows)?, y.times(context, &right.gathered.rows)?);
        let crossed: f64 = (0..along_x.ncols())
            .map(|j| (0..self.s.len()).map(|i| self.s[i] * along_x[(i, j)] * along_y[(i, j)]).sum::<f64>())
            .sum();
        let (of_x, of_y) = (x.gram(context)?, y.gram(context)?);
        let s = of_x.nrows();
        let lower = |i: usize, j: usize| of_x[(i.max(j), i.min(j))] * of_y[(i.max(j), i.min(j))];
        let squares: f64 = (0..s).map(|i| (0..s).map(|j| lower(i, j)).sum::<f64>()).sum();
        // What X Y' adds to the sum of the rows: Y times the sums of the columns of X.
        let ones = Mat::from_fn(1, x.columns().len(), |_, _| 1.0)?;
        let sums = y.transposed_times(context, &x.times(context, &ones)?)?;
        let added = collected(y.columns().iter().copied().zip(sums.as_slice().iter().copied()), VALUES)?;
        let change = Outer { x: transposed(&x.local()), y: transposed(&y.local()) };
        let sum = self.sum(context, &left, &right, change, 2.0 * crossed + squares)?;
        let small = MANY * self.most;
        let found = if s <= small { sum.solve_by_qr(context)? } else { sum.solve(context, small)? };
        let probed = self.probed_product(context, x, y)?;
        Ok(Change { probed, ..self.changed(context, (left, right), found, added, None)? })
    }

    fn sum<D: Products>(
        &self,
        context: &Context,
        left: &Touch<'_, T>,
        right: &Touch<'_, T>,
        change: D,
        more: f64,
    ) -> Result<Sum<'_, D>> {
        let of = |touch: &Touch<'_, T>| {
            Coordinates::new(context, &touch.gathered.rows, touch.slots.len() == touch.side.len())
        };
        let (left, right) = (of(left)?, of(right)?);
        let energy = norm(&self.s).powi(2) + more;
        let (m, n) = self.shape();
        let (most, roundoff) = (self.most.min(m).min(n), T::UNIT_ROUNDOFF);
        Ok(Sum { s: &self.s, left, right, change, energy, most, roundoff })
    }

    fn changed(
        &self,
        context: &Context,
        (left, right): (Touch<'_, T>, Touch<'_, T>),
        found: Changed,
        added: Vec<(usize, f64)>,
        energy: Option<f64>,
    ) -> Result<Change<T>> {
        let rewrite = |touch: Touch<'_, T>, (rotation, rows): (Mat<f64>, Mat<f64>)| {
            let touched = Some((&touch.slots[..], touch.gathered, rows));
            let update = Update { touched, ..Update::rotation(rotation) };
            touch.side.rewrite(context, update)
        };
        let Changed { s, left: of_left, right: of_right, next, discarded } = found;
        let mut ledger = self.ledger.after(Kind::Mixed, energy.unwrap_or(0.0), next, discarded);
        ledger.energy_known &= energy.is_some();
        ledger.energy = ledger.energy.max(0.0);
        Ok(Change {
            left: Some(rewrite(left, of_left)?),
            right: Some(rewrite(right, of_right)?),
            s,
            ledger,
            sums: if self.is_unweighted() { Sums::More(added) } else { Sums::Unknown },
            look: true,
            ..self.unchanged()?
        })
    }
}

/// The numbers that occur, ascending, and the place of each among them.
fn numbered(numbers: &[usize]) -> Result<(Vec<usize>, Vec<i64>)> {
    let mut distinct = collected(numbers.iter().copied(), VALUES)?;
    distinct.sort_unstable();
    distinct.dedup();
    let place = |number: &usize| distinct.partition_point(|other| other < number) as i64;
    let places = collected(numbers.iter().map(place), VALUES)?;
    Ok((distinct, places))
}
