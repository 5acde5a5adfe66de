//! Which rows of a stream have come.

use crate::error::{Error, Result};
use crate::memory::copied;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// What memory is for.
const RANGES: &str = "ranges of rows";

/// Disjoint ranges of rows in increasing order, none of them empty, no two of them adjacent.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cover(Vec<(u64, u64)>);

impl Cover {
    /// An error-returning `clone`.
    pub fn copy(&self) -> Result<Self> {
        copied(&self.0, RANGES).map(Self)
    }

    /// The row after the last one.
    pub fn end(&self) -> u64 {
        self.0.last().map_or(0, |&(_, end)| end)
    }

    /// Number of rows.
    pub fn rows(&self) -> u64 {
        self.0.iter().map(|(start, end)| end - start).sum()
    }

    /// The ranges.
    pub fn ranges(&self) -> impl Iterator<Item = Range<u64>> {
        self.0.iter().map(|&(start, end)| start..end)
    }

    /// How many rows of `range` are in it.
    pub fn count(&self, range: &Range<u64>) -> u64 {
        let at = self.0.partition_point(|&(_, end)| end <= range.start);
        let touching = self.0[at..].iter().take_while(|&&(start, _)| start < range.end);
        touching.map(|&(start, end)| end.min(range.end) - start.max(range.start)).sum()
    }

    /// Takes in the rows of `range`, none of which may be in it yet.
    pub fn insert(&mut self, argument: &'static str, range: Range<u64>) -> Result<()> {
        if range.is_empty() {
            return Ok(());
        }
        let at = self.0.partition_point(|&(start, _)| start < range.start);
        let before = at.checked_sub(1).map(|k| self.0[k]).filter(|&(_, end)| end >= range.start);
        let after = self.0.get(at).copied().filter(|&(start, _)| start <= range.end);
        let seen = before.filter(|&(_, end)| end > range.start);
        if let Some((start, end)) = seen.or_else(|| after.filter(|&(start, _)| start < range.end)) {
            let found =
                format!("rows {}..{}, of which {start}..{end} are in already", range.start, range.end);
            return Err(Error::value(argument, found, "rows that were not seen before"));
        }
        let (start, end) = (before.map_or(range.start, |b| b.0), after.map_or(range.end, |a| a.1));
        let room = self.0.len() + 1;
        self.0.try_reserve(1).map_err(|_| Error::Allocation { bytes: 16 * room as u128, purpose: RANGES })?;
        self.0.splice(at - usize::from(before.is_some())..at + usize::from(after.is_some()), [(start, end)]);
        Ok(())
    }

    /// Takes the rows of `range` out, all of which must be in it.
    pub fn remove(&mut self, argument: &'static str, range: Range<u64>) -> Result<()> {
        if range.is_empty() {
            return Ok(());
        }
        let at = self.0.partition_point(|&(_, end)| end <= range.start);
        let Some((start, end)) =
            self.0.get(at).copied().filter(|&(start, end)| start <= range.start && range.end <= end)
        else {
            let found = format!("rows {}..{}, not all of which are in", range.start, range.end);
            return Err(Error::value(argument, found, "rows that were seen"));
        };
        let left = [(start, range.start), (range.end, end)];
        self.0
            .try_reserve(1)
            .map_err(|_| Error::Allocation { bytes: 16 * (self.0.len() as u128 + 1), purpose: RANGES })?;
        self.0.splice(at..=at, left.into_iter().filter(|(start, end)| start < end));
        Ok(())
    }

    /// Whether the ranges are as the type says, which those of foreign bytes need not be.
    pub fn is_valid(&self) -> bool {
        self.0.iter().all(|(start, end)| start < end) && self.0.windows(2).all(|pair| pair[0].1 < pair[1].0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_joined_and_overlap_is_refused() {
        let mut cover = Cover::default();
        for range in [10..20, 30..40, 0..5, 20..25, 5..5] {
            cover.insert("row_offset", range).unwrap();
        }
        assert_eq!(cover, Cover(vec![(0, 5), (10, 25), (30, 40)]));
        for range in [4..6, 9..11, 24..26, 0..40, 12..13, 39..100] {
            let before = cover.copy().unwrap();
            assert!(cover.insert("row_offset", range).is_err());
            assert_eq!(cover, before);
        }
        assert_eq!((cover.rows(), cover.end(), cover.count(&(3..32))), (30, 40, 19));
        cover.insert("row_offset", 5..10).unwrap();
        cover.insert("row_offset", 25..30).unwrap();
        assert_eq!(cover, Cover(vec![(0, 40)]));
        for range in [0..1, 39..41, 9..9] {
            assert_eq!(cover.remove("row_offset", range.clone()).is_ok(), range.end <= 40, "{range:?}");
        }
        cover.remove("row_offset", 10..12).unwrap();
        cover.remove("row_offset", 30..40).unwrap();
        assert_eq!(cover, Cover(vec![(1, 10), (12, 30)]));
        assert!(cover.remove("row_offset", 9..13).is_err());
        assert!(cover.is_valid());
        assert!(!Cover(vec![(0, 5), (5, 6)]).is_valid() && !Cover(vec![(3, 3)]).is_valid());
    }
}
