//! Y = A Omega of a few Gaussian vectors, kept beside the model: |Y - U S V'Omega|_F^2 / q is |A - U S V'|_F^2 on average,
//! whatever came to A.
//!
//! A column's row of Omega is the random numbers of its serial number, which no other column ever has: so it need not be
//! stored, and a column that comes later has numbers that nothing depends on.

use crate::error::Result;
use crate::matrix::{Mat, Matrix, Products, Real};
use crate::memory::{collected, copied, resize};
use crate::parallel::Context;
use crate::random::Stream;
use crate::state::Stored;
use crate::svd::updates::side::{Rewrite, Side};

/// Vectors.
pub(super) const DRAWS: usize = 8;
/// What memory is for.
pub(super) const PROBE: &str = "a random probe";
/// Random numbers of the probe, and of nothing else.
const PURPOSE: u8 = 32;

/// Y, and what tells Omega.
pub(super) struct Probe {
    pub seed: u64,
    /// Y by slots of the left side, `DRAWS` numbers for each.
    pub rows: Vec<f64>,
    /// The serial number of every column, by slots of the right side.
    pub serials: Vec<u64>,
    /// Of the next column.
    pub next: u64,
}

/// What becomes of Y.
pub(super) enum Probed {
    /// Times a number.
    Scaled(f64),
    /// More for some rows, by position after the change: that of row i is column i.
    More(Vec<usize>, Mat<f64>),
    /// A column went that nobody told.
    Lost,
}

/// Squares of Y - U S V'Omega and of Y, by column.
pub type Squares = [[f64; DRAWS]; 2];

impl Probe {
    /// Of a matrix without rows and columns.
    pub fn new(seed: u64) -> Self {
        Self { seed, rows: Vec::new(), serials: Vec::new(), next: 0 }
    }

    /// Of a matrix whose rows and columns are in slots by number.
    pub fn of<B: Real>(context: &Context, a: &Matrix<'_, B>, seed: u64) -> Result<Self> {
        let (n, d) = a.shape();
        let serials = collected(0..d as u64, PROBE)?;
        let empty = Self { next: d as u64, ..Self::new(seed) };
        let (omega, mut rows) = (empty.omega(&serials)?, Mat::zeros(DRAWS, n)?);
        a.product(context, omega.as_ref().t(), rows.as_mut().t())?;
        Ok(Self { rows: copied(rows.as_slice(), PROBE)?, serials, ..empty })
    }

    /// Rows of Omega: row i is column i.
    pub fn omega(&self, serials: &[u64]) -> Result<Mat<f64>> {
        let random = Stream::new(self.seed, 0, PURPOSE);
        let mut omega = Mat::zeros(DRAWS, serials.len())?;
        for (i, &serial) in serials.iter().enumerate() {
            random.normals_of_row(serial, omega.col_mut(i));
        }
        Ok(omega)
    }

    /// Those of columns at these positions, which may be about to come.
    pub fn omega_at<T: Stored>(&self, right: &Side<T>, positions: &[usize]) -> Result<Mat<f64>> {
        let serial = |&position: &usize| match position.checked_sub(right.len()) {
            Some(later) => self.next + later as u64,
            None => self.serials[right.slot(position) as usize],
        };
        self.omega(&collected(positions.iter().map(serial), PROBE)?)
    }

    /// Bytes that it takes.
    pub fn bytes(&self) -> usize {
        8 * (self.rows.capacity() + self.serials.capacity())
    }

    /// An independent copy.
    pub fn copy(&self) -> Result<Self> {
        let (rows, serials) = (copied(&self.rows, PROBE)?, copied(&self.serials, PROBE)?);
        Ok(Self { rows, serials, ..*self })
    }

    /// Room for what a change brings.
    pub fn reserve<T: Stored>(
        &mut self,
        left: Option<&Rewrite<T>>,
        right: Option<&Rewrite<T>>,
    ) -> Result<()> {
        let rows = self.rows.len().max(left.map_or(0, Rewrite::slots) * DRAWS);
        let serials = self.serials.len().max(right.map_or(0, Rewrite::slots));
        resize(&mut self.rows, rows, 0.0, PROBE)?;
        resize(&mut self.serials, serials, 0, PROBE)
    }

    /// Rows that go and columns that come, before the sides are changed.
    pub fn follow<T: Stored>(
        &mut self,
        side: &Side<T>,
        left: Option<&Rewrite<T>>,
        right: Option<&Rewrite<T>>,
    ) {
        for &position in left.map_or(&[][..], Rewrite::removed) {
            self.rows[side.slot(position) as usize * DRAWS..][..DRAWS].fill(0.0);
        }
        for &slot in right.map_or(&[][..], Rewrite::appended) {
            self.serials[slot as usize] = self.next;
            self.next += 1;
        }
    }

    /// More of Y, once the sides are changed.
    pub fn add<T: Stored>(&mut self, left: &Side<T>, positions: &[usize], more: &Mat<f64>) {
        for (i, &position) in positions.iter().enumerate() {
            let row = &mut self.rows[left.slot(position) as usize * DRAWS..][..DRAWS];
            row.iter_mut().zip(more.col(i)).for_each(|(sum, more)| *sum += more);
        }
    }
}
