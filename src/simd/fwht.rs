//! The Walsh-Hadamard transform down the rows of a tile.
//!
//! Stage h replaces rows i and i + h by their sum and difference; stages 1, 2, 4, ... follow one another. A
//! pass does up to four of them in registers. How many it does is a matter of the instruction set, but the
//! additions are the same ones, in the same order.

use super::kernel;
use super::lanes::Lanes;

/// Rows that go through all their stages while they are in the first-level cache (at width 8).
const BLOCK: usize = 256;

/// Rows of a butterfly whose rows all fall into one set of the first-level cache, which has eight ways or more.
const FAR_RADIX: usize = 8;

kernel! {
    /// The tile (rows x width, row-major) becomes H times the tile: H\[i, j\] is 1 where i & j has an even
    /// number of bits, otherwise -1. Panics unless `rows` is a power of two.
    pub fn fwht<V>(tile: &mut [f64], rows: usize, width: usize) {
        assert!(rows.is_power_of_two() && tile.len() == rows * width);
        if width == 0 {
            return;
        }
        let block = rows.min(BLOCK);
        for tile in tile.chunks_exact_mut(block * width) {
            stages::<V>(tile, width, 1, V::ROOM);
        }
        stages::<V>(tile, width, block, V::ROOM.min(FAR_RADIX));
    }
}

kernel! {
    /// Three stages at once, or two or one: the transform of length 8, 4 or 2 of what so many rows of equal length
    /// hold. Panics for another number of rows.
    pub fn fwht_across<V>(rows: &mut [&mut [f64]]) {
        match rows.len() {
            8 => across::<V, 8>(rows),
            4 => across::<V, 4>(rows),
            2 => across::<V, 2>(rows),
            count => panic!("a transform across {count} rows"),
        }
    }
}

#[inline(always)]
fn across<V: Lanes, const R: usize>(rows: &mut [&mut [f64]]) {
    let len = rows[0].len();
    for start in (0..len).step_by(8) {
        let lanes = start..len.min(start + 8);
        let mut v = [V::splat(0.0); R];
        for k in 0..R {
            v[k] = V::load_head(&rows[k][lanes.clone()]);
        }
        stage::<V, R, 1>(&mut v);
        stage::<V, R, 2>(&mut v);
        stage::<V, R, 4>(&mut v);
        for k in 0..R {
            v[k].store_head(&mut rows[k][lanes.clone()]);
        }
    }
}

/// All stages from `first` on, in passes of at most `radix` rows.
#[inline(always)]
fn stages<V: Lanes>(tile: &mut [f64], width: usize, first: usize, radix: usize) {
    let rows = tile.len() / width;
    let mut h = first;
    while h < rows {
        let radix = radix.min(rows / h);
        match radix {
            16 => pass::<V, 16>(tile, h * width),
            8 => pass::<V, 8>(tile, h * width),
            4 => pass::<V, 4>(tile, h * width),
            _ => pass::<V, 2>(tile, h * width),
        }
        h *= radix;
    }
}

/// Stages h, 2 h, ..., R h / 2, where h rows have `len` numbers.
#[inline(always)]
fn pass<V: Lanes, const R: usize>(tile: &mut [f64], len: usize) {
    for tile in tile.chunks_exact_mut(R * len) {
        let first = tile.as_mut_ptr();
        let head = len % 8;
        for start in (0..len - head).step_by(8) {
            // SAFETY: the slice holds R times `len` numbers, and start + 8 <= len.
            unsafe { butterfly::<V, R>(first.add(start), len, 8) }
        }
        if head > 0 {
            // SAFETY: the slice holds R times `len` numbers.
            unsafe { butterfly::<V, R>(first.add(len - head), len, head) }
        }
    }
}

/// The transform of length R of `len` columns.
///
/// # Safety
/// `first + k stride`, k < R, must point to `len` numbers each.
#[inline(always)]
unsafe fn butterfly<V: Lanes, const R: usize>(first: *mut f64, stride: usize, len: usize) {
    let mut v = [V::splat(0.0); R];
    for k in 0..R {
        // SAFETY: the caller vouches for these numbers.
        v[k] = V::load_head(unsafe { std::slice::from_raw_parts(first.add(k * stride), len) });
    }
    stage::<V, R, 1>(&mut v);
    stage::<V, R, 2>(&mut v);
    stage::<V, R, 4>(&mut v);
    stage::<V, R, 8>(&mut v);
    for k in 0..R {
        // SAFETY: the caller vouches for these numbers.
        v[k].store_head(unsafe { std::slice::from_raw_parts_mut(first.add(k * stride), len) });
    }
}

#[inline(always)]
fn stage<V: Lanes, const R: usize, const H: usize>(v: &mut [V; R]) {
    for k in 0..R {
        if H < R && k & H == 0 {
            let (a, b) = (v[k], v[k + H]);
            v[k] = a.add(b);
            v[k + H] = a.sub(b);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::testing::{on_every_path, same_bits};

    fn tile(rows: usize, width: usize) -> Vec<f64> {
        (0..rows * width).map(|k| ((k * k % 1013) as f64).sin()).collect()
    }

    /// Stage after stage, in the order that all paths keep.
    fn reference(tile: &mut [f64], rows: usize, width: usize) {
        let mut h = 1;
        while h < rows {
            for i in (0..rows).filter(|i| i & h == 0) {
                for j in 0..width {
                    let (a, b) = (tile[i * width + j], tile[(i + h) * width + j]);
                    tile[i * width + j] = a + b;
                    tile[(i + h) * width + j] = a - b;
                }
            }
            h *= 2;
        }
    }

    #[test]
    fn every_path_does_the_same_additions() {
        for log_rows in 0..=13 {
            for width in [1, 7, 8, 16, 21] {
                let rows = 1 << log_rows;
                let mut expected = tile(rows, width);
                reference(&mut expected, rows, width);
                for found in on_every_path(|| {
                    let mut found = tile(rows, width);
                    fwht(&mut found, rows, width);
                    found
                }) {
                    assert!(same_bits(&found, &expected), "{rows} x {width}");
                }
            }
        }
    }

    #[test]
    fn entries_are_the_parity_of_common_bits() {
        let rows = 512;
        for j in [0, 1, 77, 511] {
            let mut column = vec![0.0; rows];
            column[j] = 1.0;
            fwht(&mut column, rows, 1);
            assert!((0..rows).all(|i| column[i] == if (i & j).count_ones() % 2 == 0 { 1.0 } else { -1.0 }));
        }
    }

    #[test]
    fn twice_is_a_multiple_of_the_identity() {
        let (rows, width) = (2048, 11);
        let original = tile(rows, width);
        let mut twice = original.clone();
        fwht(&mut twice, rows, width);
        fwht(&mut twice, rows, width);
        assert!(twice.iter().zip(&original).all(|(a, b)| (a - 2048.0 * b).abs() <= 2048.0 * 1e-14));
    }

    #[test]
    #[should_panic(expected = "is_power_of_two")]
    fn other_lengths_are_refused() {
        fwht(&mut [0.0; 12], 12, 1);
    }
}
