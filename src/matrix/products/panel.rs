//! At most 32 vectors, row-major.

use crate::error::Result;
use crate::matrix::{Buffer, Dense, DenseMut};
use crate::parallel::Context;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// What memory is for.
const PANEL: &str = "a block of vectors";

/// Vectors side by side: row i holds their numbers i, then zeros up to one, two, four or a multiple of eight numbers. Rows
/// of many begin on a cache line.
pub struct Panel {
    data: Buffer<f64>,
    width: usize,
}

/// Numbers in a row of a panel of `k` vectors.
fn width_of(k: usize) -> usize {
    match k {
        0..=2 => k,
        3..=4 => 4,
        _ => k.next_multiple_of(8),
    }
}

impl Panel {
    /// The most vectors of a panel: as many as the registers hold.
    pub const MOST: usize = 32;

    /// `nrows` x `k` zeros. Panics if there are more than 32 vectors.
    pub fn zeros(nrows: usize, k: usize) -> Result<Self> {
        assert!(k <= Self::MOST);
        let width = width_of(k);
        Ok(Self { data: Buffer::zeros(nrows.saturating_mul(width), PANEL)?, width })
    }

    /// Columns, as many at a time as a panel takes.
    pub fn groups(k: usize) -> impl Iterator<Item = Range<usize>> {
        (0..k).step_by(Self::MOST).map(move |start| start..k.min(start + Self::MOST))
    }

    /// Numbers in a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Vector `j`.
    pub fn column_mut(&mut self, j: usize) -> impl Iterator<Item = &mut f64> {
        self.data.iter_mut().skip(j).step_by(self.width.max(1))
    }

    /// All numbers, row after row.
    pub fn as_slice(&self) -> &[f64] {
        &self.data
    }

    /// All numbers, row after row.
    pub fn as_mut_slice(&mut self) -> &mut [f64] {
        &mut self.data
    }

    /// Copies the vectors to where they belong.
    pub(crate) fn copy_to(&self, context: &Context, mut out: DenseMut<'_, f64>) -> Result<()> {
        let (nrows, k) = (out.nrows(), out.ncols());
        let panel = Dense::row_major(&self.data, nrows, self.width).cols(0..k);
        for rows in context.pieces(0..nrows) {
            let rows = rows?;
            out.reborrow().window(rows.clone(), 0..k).copy_from(panel.rows(rows));
        }
        Ok(())
    }
}

/// Panels of sums over blocks of rows, used again once they have been added.
pub(crate) struct Spare {
    panels: Mutex<Vec<Panel>>,
    shape: (usize, usize),
}

impl Spare {
    /// Of this shape.
    pub fn new(nrows: usize, k: usize) -> Self {
        Self { panels: Mutex::new(Vec::new()), shape: (nrows, k) }
    }

    /// Zeros.
    pub fn take(&self) -> Result<Panel> {
        let spared = self.panels.lock().unwrap_or_else(PoisonError::into_inner).pop();
        spared.map_or_else(|| Panel::zeros(self.shape.0, self.shape.1), Ok)
    }

    /// sum += part; no sum is zeros.
    pub fn add(&self, sum: &mut Option<Panel>, mut part: Panel) {
        let Some(sum) = sum else {
            *sum = Some(part);
            return;
        };
        for (sum, part) in sum.as_mut_slice().iter_mut().zip(part.as_mut_slice()) {
            *sum += std::mem::take(part);
        }
        let mut spared = self.panels.lock().unwrap_or_else(PoisonError::into_inner);
        // At most as many as were alive at once; one that finds no room is not kept.
        if spared.try_reserve(1).is_ok() {
            #[expect(clippy::disallowed_methods, reason = "there is room for it")]
            spared.push(part);
        }
    }
}

/// Vectors as a panel has them, borrowed where they lie so.
pub(crate) enum Staged<'x> {
    Borrowed(&'x [f64], usize),
    Copied(Panel),
}

impl<'x> Staged<'x> {
    pub fn new(context: &Context, x: Dense<'x, f64>) -> Result<Self> {
        Self::in_pieces(x, context.pieces(0..x.nrows()))
    }

    /// Of so few that nobody could want to interrupt.
    pub fn block(x: Dense<'x, f64>) -> Result<Self> {
        Self::in_pieces(x, [Ok(0..x.nrows())])
    }

    fn in_pieces(x: Dense<'x, f64>, pieces: impl IntoIterator<Item = Result<Range<usize>>>) -> Result<Self> {
        let (nrows, k) = (x.nrows(), x.ncols());
        let rows_of_panel = k == width_of(k) && x.col_stride() == 1 && (x.row_stride() == k || nrows <= 1);
        if rows_of_panel || (k == 1 && x.row_stride() == 1) {
            return Ok(Self::Borrowed(x.data().get(..nrows * k).unwrap_or_default(), k));
        }
        let mut panel = Panel::zeros(nrows, k)?;
        let width = panel.width;
        for rows in pieces {
            let rows = rows?;
            let vectors = DenseMut::row_major(&mut panel.data, nrows, width).window(rows.clone(), 0..k);
            vectors.copy_from(x.rows(rows));
        }
        Ok(Self::Copied(panel))
    }

    pub fn as_slice(&self) -> &[f64] {
        match self {
            Self::Borrowed(x, _) => x,
            Self::Copied(panel) => panel.as_slice(),
        }
    }

    pub fn width(&self) -> usize {
        match self {
            Self::Borrowed(_, width) => *width,
            Self::Copied(panel) => panel.width(),
        }
    }
}
