//! At most 32 vectors, row-major.

use crate::error::Result;
use crate::matrix::{Buffer, Dense, DenseMut};
use crate::memory::{collected, push, resize};
use crate::parallel::Context;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// The most vectors of a panel: as many as the registers hold.
pub(super) const MOST: usize = 32;

/// What memory is for.
const PANEL: &str = "a block of vectors";

/// Vectors side by side: row i holds their numbers i, then zeros up to one or a multiple of eight numbers. Rows of many
/// begin on a cache line.
pub struct Panel {
    data: Buffer<f64>,
    width: usize,
}

/// Numbers in a row of a panel of `k` vectors.
fn width_of(k: usize) -> usize {
    if k <= 1 { k } else { k.next_multiple_of(8) }
}

impl Panel {
    /// `nrows` x `k` zeros. Panics if there are more than 32 vectors.
    pub fn zeros(nrows: usize, k: usize) -> Result<Self> {
        assert!(k <= MOST);
        let width = width_of(k);
        Ok(Self { data: Buffer::zeros(nrows.saturating_mul(width), PANEL)?, width })
    }

    /// Columns, as many at a time as a panel takes.
    pub fn groups(k: usize) -> impl Iterator<Item = Range<usize>> {
        (0..k).step_by(MOST).map(move |start| start..k.min(start + MOST))
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
    pub(crate) fn copy_to(&self, context: &Context, out: DenseMut<'_, f64>) -> Result<()> {
        let nrows = out.nrows();
        let blocks = collected(context.pieces(0..nrows).filter_map(Result::ok), PANEL)?;
        for (mut slab, rows) in slabs(out, &blocks)?.into_iter().zip(blocks) {
            context.tick()?;
            slab.copy_from(self.width, &self.data[rows.start * self.width..rows.end * self.width]);
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
            fill(x.rows(rows.clone()), width, &mut panel.data[rows.start * width..rows.end * width]);
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

/// Copies rows of vectors into those of a panel of zeros.
fn fill(x: Dense<'_, f64>, width: usize, panel: &mut [f64]) {
    if x.col_stride() == 1 {
        for (i, row) in panel.chunks_exact_mut(width.max(1)).enumerate() {
            row[..x.ncols()].copy_from_slice(x.stored_row(i));
        }
    } else {
        // A few rows at a time: whole cache lines of both.
        for first in (0..x.nrows()).step_by(64) {
            for j in 0..x.ncols() {
                for i in first..x.nrows().min(first + 64) {
                    panel[i * width + j] = x.get(i, j);
                }
            }
        }
    }
}

/// The part of a matrix that a block of rows is.
pub(super) enum Slab<'o> {
    /// Rows with this many numbers from one to the next.
    Rows(&'o mut [f64], usize, usize),
    /// By column.
    Columns(Vec<&'o mut [f64]>),
}

impl Slab<'_> {
    /// Has `work` write all rows: where they are, if that is how a panel has them.
    pub fn fill(
        mut self,
        width: usize,
        nrows: usize,
        buffer: &mut Vec<f64>,
        work: impl FnOnce(&mut [f64]) -> Result<()>,
    ) -> Result<()> {
        let in_place = match &mut self {
            Self::Rows(rows, stride, k) if *k == width && *stride == width => Some(&mut **rows),
            Self::Columns(columns) if width == 1 => columns.first_mut().map(|column| &mut **column),
            _ => None,
        };
        if let Some(rows) = in_place {
            return work(rows);
        }
        resize(buffer, nrows * width, 0.0, PANEL)?;
        work(buffer)?;
        self.copy_from(width, buffer);
        Ok(())
    }

    /// Takes the numbers from rows of a panel.
    fn copy_from(&mut self, width: usize, panel: &[f64]) {
        match self {
            Self::Rows(rows, stride, k) => {
                for (out, row) in rows.chunks_mut((*stride).max(1)).zip(panel.chunks_exact(width.max(1))) {
                    out[..*k].copy_from_slice(&row[..*k]);
                }
            }
            Self::Columns(columns) => {
                let rows = panel.len() / width.max(1);
                for first in (0..rows).step_by(64) {
                    for (j, column) in columns.iter_mut().enumerate() {
                        for i in first..rows.min(first + 64) {
                            column[i] = panel[i * width + j];
                        }
                    }
                }
            }
        }
    }
}

/// Cuts a matrix, one of whose strides is one, into consecutive blocks that cover its rows.
pub(super) fn slabs<'o>(out: DenseMut<'o, f64>, blocks: &[Range<usize>]) -> Result<Vec<Slab<'o>>> {
    let (nrows, k, col_stride) = (out.nrows(), out.ncols(), out.col_stride());
    // From a row alone to the next it is any number.
    let row_stride = if nrows <= 1 { k } else { out.row_stride() };
    let mut slabs = Vec::new();
    let mut data = out.into_data();
    if col_stride == 1 {
        for rows in blocks {
            let len = if rows.end == nrows { data.len() } else { rows.len() * row_stride };
            let part = data.split_off_mut(..len).unwrap_or_default();
            let len = if part.is_empty() { 0 } else { (rows.len() - 1) * row_stride + k };
            push(&mut slabs, Slab::Rows(&mut part[..len], row_stride, k), PANEL)?;
        }
        return Ok(slabs);
    }
    assert!(row_stride == 1 || nrows <= 1);
    for _ in blocks {
        push(&mut slabs, Slab::Columns(Vec::new()), PANEL)?;
    }
    for _ in 0..k {
        let mut column = data.split_off_mut(..col_stride.min(data.len())).unwrap_or_default();
        for (slab, rows) in slabs.iter_mut().zip(blocks) {
            let part = column.split_off_mut(..rows.len()).unwrap_or_default();
            if let Slab::Columns(columns) = slab {
                push(columns, part, PANEL)?;
            }
        }
    }
    Ok(slabs)
}
