//! The rows of largest norm, kept as they are.
//!
//! No state of O(d) numbers that lacks them answers in general (Kacham and Woodruff 2024): a few heavy rows may be all that
//! the top eigenvector is made of. What is not among the h heaviest so far goes on, a light row: the row itself, or the one
//! that it has driven out.

use crate::error::Result;
use crate::matrix::Dense;
use crate::memory::{collected, copied, extend, push};
use crate::streaming::numbers::Numbers;
use crate::streaming::rows::{CHUNK, Chunk};
use serde::{Deserialize, Serialize};

/// What memory is for.
const NORMS: &str = "the norms of heavy rows";

/// At most so many rows.
#[derive(Serialize, Deserialize)]
pub struct Heavy {
    most: usize,
    d: usize,
    /// Row after row.
    rows: Numbers,
    kept: Vec<Kept>,
}

/// What is known of a heavy row.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Kept {
    norm_sq: f64,
    /// Of its weight.
    root: f64,
    /// How many rows came before.
    number: u64,
}

/// Where light rows that are not as they came are put together.
#[derive(Default)]
pub struct Sifted {
    rows: Vec<f64>,
    norms: Vec<f64>,
    roots: Vec<f64>,
}

impl Heavy {
    /// None yet.
    pub fn new(most: usize, d: usize) -> Result<Self> {
        Ok(Self { most, d, rows: Numbers::zeros(most * d)?, kept: Vec::new() })
    }

    /// An independent copy, as an error-returning `clone`.
    pub fn copy(&self) -> Result<Self> {
        let kept = copied(&self.kept, NORMS)?;
        Ok(Self { most: self.most, d: self.d, rows: self.rows.copy()?, kept })
    }

    /// True of what a stream of `d` columns may have.
    pub fn fits(&self, most: usize, d: usize) -> bool {
        let sound = |kept: &Kept| kept.norm_sq >= 0.0 && kept.norm_sq.is_finite() && kept.root.is_finite();
        (self.most, self.d) == (most, d)
            && self.rows.len() == most * d
            && self.kept.len() <= most
            && self.kept.iter().all(sound)
    }

    /// Numbers of the state.
    pub fn room(&self) -> usize {
        self.rows.len()
    }

    /// Row after row.
    pub fn copy_of_rows(&self) -> Result<Numbers> {
        let mut rows = Numbers::zeros(self.kept.len() * self.d)?;
        let len = rows.len();
        rows.copy_from_slice(&self.rows[..len]);
        Ok(rows)
    }

    /// Roots of their weights.
    pub fn roots(&self) -> Result<Vec<f64>> {
        collected(self.kept.iter().map(|kept| kept.root), NORMS)
    }

    /// In another unit: rows times `factor`, a power of two.
    pub fn scale(&mut self, factor: f64) {
        self.rows.scale(factor);
        self.kept.iter_mut().for_each(|kept| kept.norm_sq *= factor * factor);
    }

    /// Takes the rows of a chunk, of which the first is number `first`, and gives those that go on: the same chunk if none
    /// was taken.
    pub fn sift<'c>(&mut self, chunk: Chunk<'c>, first: u64, sifted: &'c mut Sifted) -> Result<Chunk<'c>> {
        let mut from = match chunk.norms.iter().position(|&norm_sq| self.takes(norm_sq)) {
            Some(from) => from,
            None if chunk.norms.iter().all(|&norm_sq| norm_sq > 0.0) => return Ok(chunk),
            None => 0,
        };
        sifted.clear();
        (0..from).try_for_each(|i| sifted.push(chunk.row(i), chunk.norms[i], chunk.roots[i]))?;
        while from < chunk.len() {
            let kept =
                Kept { norm_sq: chunk.norms[from], root: chunk.roots[from], number: first + from as u64 };
            self.pass(chunk.row(from), kept, sifted)?;
            from += 1;
        }
        let rows = Dense::row_major(&sifted.rows, sifted.norms.len(), self.d);
        Ok(Chunk { rows, norms: &sifted.norms, roots: &sifted.roots })
    }

    fn takes(&self, norm_sq: f64) -> bool {
        norm_sq > 0.0
            && (self.kept.len() < self.most || self.least().is_some_and(|at| norm_sq > self.kept[at].norm_sq))
    }

    /// The row that the next heavier one drives out: of the lightest, the last that came.
    fn least(&self) -> Option<usize> {
        let order = |a: &Kept, b: &Kept| a.norm_sq.total_cmp(&b.norm_sq).then(b.number.cmp(&a.number));
        (0..self.kept.len()).min_by(|&a, &b| order(&self.kept[a], &self.kept[b]))
    }

    /// Keeps a row or lets one go on.
    fn pass(&mut self, row: &[f64], kept: Kept, sifted: &mut Sifted) -> Result<()> {
        if !self.takes(kept.norm_sq) {
            return if kept.norm_sq > 0.0 { sifted.push(row, kept.norm_sq, kept.root) } else { Ok(()) };
        }
        let at = match self.least() {
            Some(at) if self.kept.len() == self.most => {
                let Kept { norm_sq, root, .. } = self.kept[at];
                sifted.push(&self.rows[at * self.d..][..self.d], norm_sq, root)?;
                self.kept[at] = kept;
                at
            }
            _ => {
                push(&mut self.kept, kept, NORMS)?;
                self.kept.len() - 1
            }
        };
        self.rows[at * self.d..][..self.d].copy_from_slice(row);
        Ok(())
    }
}

impl Sifted {
    fn clear(&mut self) {
        self.rows.clear();
        self.norms.clear();
        self.roots.clear();
    }

    fn push(&mut self, row: &[f64], norm_sq: f64, root: f64) -> Result<()> {
        debug_assert!(self.norms.len() < CHUNK);
        extend(&mut self.rows, row.iter().copied(), "light rows")?;
        push(&mut self.norms, norm_sq, NORMS)?;
        push(&mut self.roots, root, NORMS)
    }
}
