//! Rows of few entries of a sparse matrix: read by rows whatever it is stored by, less what an intercept makes up for, and
//! without columns that others make.

use super::few::FewBuf;
use crate::error::Result;
use crate::matrix::{Axis, Matrix, Real, Sparse, SparseBuf};
use crate::memory::{collected, copied, filled};
use crate::parallel::Context;

/// A multiply-add of an entry that is looked up, in those of a tile.
const GATHERED: usize = 4;
/// No place.
const LEFT_OUT: u32 = u32::MAX;
/// What memory is for.
const COLUMNS: &str = "columns of sparse rows";

/// Sparse rows, short enough for passes that know their entries.
pub(super) struct SparseRows<'a, T> {
    rows: Stored<'a, T>,
    /// What A'A costs.
    cost: usize,
    /// Columns that are centred: rows have an entry in each.
    far: Vec<usize>,
    /// Where each column is among those that are not left out, if any are.
    places: Option<Vec<u32>>,
}

enum Stored<'a, T> {
    AsGiven(Sparse<'a, T>),
    ByRows(SparseBuf<T>),
}

impl<'a, T: Real> SparseRows<'a, T> {
    /// None where rows are as fast with all their zeros.
    pub fn new(context: &Context, matrix: &Matrix<'a, T>, fit_intercept: bool) -> Result<Option<Self>> {
        let Matrix::Sparse(a) = matrix else { return Ok(None) };
        let beside = if fit_intercept { 2 * a.nnz() + a.nrows() } else { 0 };
        let cost = a.squared_row_lengths(context)?.saturating_add(beside);
        if !is_worthwhile(cost, a.nrows(), a.ncols() + usize::from(fit_intercept)) {
            return Ok(None);
        }
        let rows = match a.axis() {
            Axis::Rows => Stored::AsGiven(*a),
            Axis::Columns => Stored::ByRows(a.along(context, Axis::Rows)?),
        };
        Ok(Some(Self { rows, cost, far: Vec::new(), places: None }))
    }

    /// The same with columns less their shifts, where these are not zero; None where zeros may then be stored as well.
    pub fn centred(mut self, shift: &[f64], fit_intercept: bool) -> Result<Option<Self>> {
        self.far = collected((0..shift.len()).filter(|&j| shift[j] != 0.0), COLUMNS)?;
        let (n, width, entries) = {
            let a = self.rows();
            (a.nrows(), a.ncols() + usize::from(fit_intercept), a.nnz() + a.nrows())
        };
        let more = self.far.len().saturating_mul(2 * entries + self.far.len() * n);
        self.cost = self.cost.saturating_add(more);
        Ok(is_worthwhile(self.cost, n, width).then_some(self))
    }

    /// The same with nothing but these columns, in increasing order, out of so many.
    pub fn with_columns(mut self, kept: &[usize], width: usize) -> Result<Self> {
        let mut places = filled(LEFT_OUT, width, COLUMNS)?;
        kept.iter().enumerate().for_each(|(place, &j)| places[j] = place as u32);
        self.places = Some(places);
        Ok(self)
    }

    /// The same once more.
    pub fn again(&self) -> Result<SparseRows<'_, T>> {
        let places = self.places.as_ref().map(|places| copied(places, COLUMNS)).transpose()?;
        let (rows, far) = (Stored::AsGiven(self.rows()), copied(&self.far, COLUMNS)?);
        Ok(SparseRows { rows, cost: self.cost, far, places })
    }

    /// What A'A costs.
    pub fn cost(&self) -> usize {
        self.cost
    }

    fn rows(&self) -> Sparse<'_, T> {
        match &self.rows {
            Stored::AsGiven(a) => *a,
            Stored::ByRows(a) => a.as_ref(),
        }
    }

    /// Adds the entries of a row, less the shifts of their columns and where these have their places; or, without shifts, as
    /// they are stored.
    pub fn push(&self, row: usize, shift: Option<&[f64]>, few: &mut FewBuf) -> Result<()> {
        let (mut met, mut outcome) = (0, Ok(()));
        self.rows().visit_line(row, |j, value| {
            let value = value.to_f64();
            let less = shift.map_or(0.0, |shift| shift[j]);
            met += usize::from(less != 0.0);
            if outcome.is_ok() {
                outcome = self.push_at(j, value - less, shift.is_some(), few);
            }
        });
        outcome?;
        let Some(shift) = shift.filter(|_| met < self.far.len()) else { return Ok(()) };
        for &j in &self.far {
            let mut is_met = false;
            self.rows().visit_line(row, |other, _| is_met |= other == j);
            if !is_met {
                self.push_at(j, -shift[j], true, few)?;
            }
        }
        Ok(())
    }

    /// Adds an entry, where its column has its place if there are any.
    pub fn push_at(&self, column: usize, value: f64, is_placed: bool, few: &mut FewBuf) -> Result<()> {
        match self.places.as_ref().filter(|_| is_placed).map(|places| places[column]) {
            None => few.push(column, value),
            Some(LEFT_OUT) => Ok(()),
            Some(place) => few.push(place as usize, value),
        }
    }
}

/// Whether passes by entries are faster.
fn is_worthwhile(cost: usize, rows: usize, width: usize) -> bool {
    cost.saturating_mul(GATHERED) < rows.saturating_mul(width).saturating_mul(width)
}
