//! Rows of few entries, and what passes make of them, in time that the entries decide and not the number of columns.

use crate::error::Result;
use crate::memory::push;
use crate::simd::narrow::pairs;
use std::ops::Range;

/// What memory is for.
const ENTRIES: &str = "rows of few entries";

/// Rows one after the other, with the columns and the values of their entries.
#[derive(Default)]
pub(super) struct FewBuf {
    /// Where each row ends.
    ends: Vec<usize>,
    columns: Vec<u32>,
    values: Vec<f64>,
}

impl FewBuf {
    /// No rows, and the memory of those that were there.
    pub fn clear(&mut self) {
        self.ends.clear();
        self.columns.clear();
        self.values.clear();
    }

    /// Adds an entry to the row that is not ended.
    pub fn push(&mut self, column: usize, value: f64) -> Result<()> {
        push(&mut self.columns, column as u32, ENTRIES)?;
        push(&mut self.values, value, ENTRIES)
    }

    /// Ends a row.
    pub fn end(&mut self) -> Result<()> {
        push(&mut self.ends, self.columns.len(), ENTRIES)
    }

    /// Multiplies the entries of the row that is not ended.
    pub fn scale(&mut self, factor: f64) {
        let start = self.ends.last().copied().unwrap_or(0);
        self.values[start..].iter_mut().for_each(|value| *value *= factor);
    }

    /// Some of the rows.
    pub fn rows(&self, rows: Range<usize>) -> Few<'_> {
        let start = if rows.start == 0 { 0 } else { self.ends[rows.start - 1] };
        Few { start, ends: &self.ends[rows], columns: &self.columns, values: &self.values }
    }

    /// All of them.
    pub fn all(&self) -> Few<'_> {
        self.rows(0..self.ends.len())
    }

    /// What A'DA costs.
    pub fn cost(&self) -> usize {
        self.all().iter().map(|(columns, _)| columns.len() * columns.len()).sum()
    }
}

/// Some rows of few entries.
#[derive(Clone, Copy)]
pub(super) struct Few<'t> {
    start: usize,
    ends: &'t [usize],
    columns: &'t [u32],
    values: &'t [f64],
}

impl<'t> Few<'t> {
    /// Columns and values, row by row.
    pub fn iter(self) -> impl Iterator<Item = (&'t [u32], &'t [f64])> {
        let starts = std::iter::once(self.start).chain(self.ends.iter().copied());
        starts.zip(self.ends).map(move |(start, &end)| (&self.columns[start..end], &self.values[start..end]))
    }

    /// Row k, with its zeros.
    pub fn put_row(self, k: usize, row: &mut [f64]) {
        row.fill(0.0);
        if let Some((columns, values)) = self.iter().nth(k) {
            columns.iter().zip(values).for_each(|(&j, value)| row[j as usize] += value);
        }
    }

    /// r -= A x.
    pub fn subtract_product(self, x: &[f64], r: &mut [f64]) {
        for ((columns, values), r) in self.iter().zip(r) {
            for (&j, value) in columns.iter().zip(values) {
                // Coefficients that are not there are zeros.
                if let Some(x) = x.get(j as usize) {
                    *r -= value * x;
                }
            }
        }
    }

    /// e += |A| x.
    pub fn add_sizes(self, x: &[f64], e: &mut [f64]) {
        for ((columns, values), e) in self.iter().zip(e) {
            *e += columns.iter().zip(values).map(|(&j, value)| value.abs() * x[j as usize]).sum::<f64>();
        }
    }

    /// Adds A'r.
    pub fn add_dots(self, r: &[f64], sums: &mut [[f64; 8]]) {
        for ((columns, values), r) in self.iter().zip(r) {
            columns.iter().zip(values).for_each(|(&j, value)| sums[j as usize][0] += value * r);
        }
    }

    /// Adds sums of magnitudes.
    pub fn add_magnitudes(self, sums: &mut [[f64; 8]]) {
        for (columns, values) in self.iter() {
            columns.iter().zip(values).for_each(|(&j, value)| sums[j as usize][0] += value.abs());
        }
    }

    /// Adds the product of columns i <= j, of rows that count as often as `weight` says, to sum i + j (j + 1) / 2.
    pub fn add_products(self, weight: impl Fn(usize) -> f64, sums: &mut [f64]) {
        for (k, (columns, values)) in self.iter().enumerate() {
            let weight = weight(k);
            for (at, (&j, value)) in columns.iter().zip(values).enumerate() {
                let value = weight * value;
                for (&i, other) in columns[..=at].iter().zip(values) {
                    sums[pairs(i.max(j) as usize) + i.min(j) as usize] += value * other;
                }
            }
        }
    }

    /// a'G a for every row a, G the columns of a symmetric matrix of order d.
    pub fn put_forms(self, g: &[f64], d: usize, forms: &mut [f64]) {
        for ((columns, values), form) in self.iter().zip(forms) {
            let mut sum = 0.0;
            for (&j, value) in columns.iter().zip(values) {
                let column = &g[j as usize * d..][..d];
                let image: f64 =
                    columns.iter().zip(values).map(|(&i, other)| column[i as usize] * other).sum();
                sum += value * image;
            }
            *form = sum.max(0.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_over_rows_are_those_of_their_dense_copies() {
        let dense = [[1.0, 0.0, 2.0, 0.0], [0.0; 4], [0.0, -3.0, 0.5, 0.0], [0.0, 0.0, 0.0, 4.0]];
        let mut few = FewBuf::default();
        for row in dense {
            for (j, value) in row.into_iter().enumerate().filter(|(_, value)| *value != 0.0) {
                few.push(j, value / 2.0).unwrap();
            }
            few.scale(2.0);
            few.end().unwrap();
        }
        assert_eq!(few.cost(), 4 + 4 + 1);
        for rows in [0..4, 1..4, 2..3, 4..4] {
            let (some, dense) = (few.rows(rows.clone()), &dense[rows.clone()]);
            let x = [1.0, 2.0, -1.0];
            let (mut r, mut sizes) = (vec![1.0; rows.len()], vec![1.0; rows.len()]);
            some.subtract_product(&x, &mut r);
            some.add_sizes(&[1.0, 2.0, 1.0, 3.0], &mut sizes);
            let (mut dots, mut magnitudes) = (vec![[0.0; 8]; 4], vec![[0.0; 8]; 4]);
            some.add_dots(&r, &mut dots);
            some.add_magnitudes(&mut magnitudes);
            let mut products = vec![0.0; pairs(4)];
            some.add_products(|k| (1 + k) as f64, &mut products);
            let mut forms = vec![0.0; rows.len()];
            let g: Vec<f64> = (0..16).map(|at| if at % 5 == 0 { 2.0 } else { 0.25 }).collect();
            some.put_forms(&g, 4, &mut forms);
            for (k, row) in dense.iter().enumerate() {
                let mut copy = [9.0; 4];
                some.put_row(k, &mut copy);
                assert_eq!(copy, *row);
                assert_eq!(r[k], 1.0 - (row[0] + 2.0 * row[1] - row[2]));
                let size = row[0].abs() + 2.0 * row[1].abs() + row[2].abs() + 3.0 * row[3].abs();
                assert_eq!(sizes[k], 1.0 + size);
                let form: f64 = (0..16).map(|at| row[at / 4] * g[at] * row[at % 4]).sum();
                assert!((forms[k] - form).abs() < 1e-12);
            }
            for j in 0..4 {
                let dot: f64 = dense.iter().zip(&r).map(|(row, r)| row[j] * r).sum();
                assert!((dots[j][0] - dot).abs() < 1e-12);
                assert_eq!(magnitudes[j][0], dense.iter().map(|row| row[j].abs()).sum::<f64>());
                for i in 0..=j {
                    let sum: f64 =
                        dense.iter().enumerate().map(|(k, row)| (1 + k) as f64 * row[i] * row[j]).sum();
                    assert!((products[pairs(j) + i] - sum).abs() < 1e-12);
                }
            }
        }
    }
}
