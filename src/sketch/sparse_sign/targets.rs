//! Where the rows of the operand go, and with which sign.

use crate::error::Result;
use crate::memory::{extend, room_for, zeros};
use crate::random::Stream;
use std::ops::Range;

/// Purpose of the stream.
const TARGETS: u8 = 0;

/// `zeta` stacked CountSketches, unscaled.
pub(crate) struct SparseSign {
    pub(super) m: usize,
    pub(super) zeta: usize,
    pub(super) stream: Stream,
}

impl SparseSign {
    /// The operator with `1 <= zeta <= m < 2^31`.
    pub fn new(m: usize, zeta: usize, seed: u64, op_id: u32) -> Self {
        Self { m, zeta, stream: Stream::new(seed, op_id, TARGETS) }
    }

    /// The rows of Y that block `l` owns.
    pub(super) fn owned(&self, l: usize) -> Range<usize> {
        l * self.m / self.zeta..(l + 1) * self.m / self.zeta
    }

    /// Word l of each of the rows `first .. first + rows`, for every l.
    pub(super) fn words(&self, first: u64, rows: usize) -> Result<Vec<Vec<u32>>> {
        let mut words = room_for(self.zeta.next_multiple_of(4), "a sketch")?;
        for draw in 0..self.zeta.div_ceil(4) {
            let lane = || zeros(rows, "a sketch");
            let mut lanes = [lane()?, lane()?, lane()?, lane()?];
            self.stream.words_of_rows(first, draw as u32, lanes.each_mut().map(Vec::as_mut_slice));
            extend(&mut words, lanes, "a sketch")?;
        }
        words.truncate(self.zeta);
        Ok(words)
    }
}

/// Which of `size` targets a word stands for.
#[inline(always)]
pub(super) fn target(word: u32, size: usize) -> usize {
    ((u64::from(word >> 1) * size as u64) >> 31) as usize
}

/// The sign that a word stands for.
#[inline(always)]
pub(super) fn sign(word: u32) -> f64 {
    [1.0, -1.0][(word & 1) as usize]
}
