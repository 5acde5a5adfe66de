//! A matrix with its rows weighted and its columns centred and scaled, none of it written down.
//!
//! Symbols: A is n x d, W = diag(w) has the root weights, m the means of the columns, S = diag(s) the scales.
//!
//! | file | what |
//! |---|---|
//! | `products` | products: W, m and S are applied to the vectors, or to tiles where the source has them |
//! | `tiles` | [`Rows`](super::Rows), a tile at a time |
//! | `columns` | norms and largest magnitudes of the columns |

mod columns;
mod products;
mod tiles;

pub use products::Source;

use super::{Products, power_of_two_below};
use crate::error::Result;
use crate::memory::copied;
use crate::parallel::Context;

/// W (A - 1 m') S. What is `None` is not there: ones for weights and scales, zeros for means.
#[derive(Debug)]
pub struct Adjusted<S> {
    /// A
    pub source: S,
    /// w, one for every row. Rows of weight zero are zeros, whatever their entries are.
    pub root_weights: Option<Vec<f64>>,
    /// m, weighted by the squares of the root weights, one for every column.
    pub means: Option<Vec<f64>>,
    /// s, one for every column: powers of two round nothing, and zeros leave a column out.
    pub scale: Option<Vec<f64>>,
}

impl<S> Adjusted<S> {
    /// The source as it is.
    pub fn new(source: S) -> Self {
        Self { source, root_weights: None, means: None, scale: None }
    }

    /// The same without weights; the means stay.
    pub fn unweighted(&self) -> Result<Self>
    where
        S: Copy,
    {
        let copy = |numbers: &Option<Vec<f64>>| {
            numbers.as_ref().map(|v| copied(v, "means and scales of columns")).transpose()
        };
        let (means, scale) = (copy(&self.means)?, copy(&self.scale)?);
        Ok(Self { source: self.source, root_weights: None, means, scale })
    }

    /// True if the source is what it was.
    pub fn is_untouched(&self) -> bool {
        self.root_weights.is_none() && self.means.is_none() && self.scale.is_none()
    }

    /// w of a row.
    #[inline]
    pub fn root_weight(&self, row: usize) -> f64 {
        self.root_weights.as_ref().map_or(1.0, |weights| weights[row])
    }

    /// s of a column.
    #[inline]
    pub fn scale_of(&self, column: usize) -> f64 {
        self.scale.as_ref().map_or(1.0, |scale| scale[column])
    }

    /// The largest root weight.
    pub fn heaviest(&self, context: &Context) -> Result<f64> {
        let Some(weights) = &self.root_weights else { return Ok(1.0) };
        let mut pieces = context.pieces(0..weights.len());
        pieces.try_fold(0.0, |heaviest, rows| Ok(weights[rows?].iter().copied().fold(heaviest, f64::max)))
    }

    /// |w|, whose square may be out of range.
    pub fn weight_norm(&self, context: &Context) -> Result<f64>
    where
        S: Products,
    {
        let Some(weights) = &self.root_weights else { return Ok((self.source.shape().0 as f64).sqrt()) };
        let heaviest = self.heaviest(context)?;
        if heaviest == 0.0 {
            return Ok(0.0);
        }
        let unit = power_of_two_below(heaviest);
        let squares = context.pieces(0..weights.len()).try_fold(0.0, |sum, rows| -> Result<f64> {
            Ok(weights[rows?].iter().fold(sum, |sum, weight| sum + (weight / unit).powi(2)))
        })?;
        Ok(squares.sqrt() * unit)
    }

    /// An entry of the source less its mean and times its scale.
    #[inline]
    fn centred(&self, column: usize, value: f64) -> f64 {
        (value - self.means.as_ref().map_or(0.0, |means| means[column])) * self.scale_of(column)
    }

    /// An entry of A S, but zero in a row of weight zero where there are scales, which might send it out of range.
    #[inline]
    pub fn scaled(&self, row: usize, column: usize, value: f64) -> f64 {
        match &self.scale {
            None => value,
            Some(_) if self.root_weight(row) == 0.0 => 0.0,
            Some(scale) => value * scale[column],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::testing::Known;
    use crate::matrix::{Axis, Dense, Indices, LinearOperator, Matrix, Rows, Source, Sparse};
    use crate::matrix::{ColumnNorms, Mat};

    const N: usize = 300;
    const D: usize = 7;

    /// Numbers that single precision has, half of them zeros, the last column far from its deviations.
    fn entry(i: usize, j: usize) -> f64 {
        let value = ((13 * i + 5 * j) % 31) as f64 / 4.0 - 3.0;
        if (i + i / 3 + j).is_multiple_of(2) { 0.0 } else { value + if j == D - 1 { 1000.0 } else { 0.0 } }
    }

    /// The same matrix in every form in which it may come.
    struct Instance {
        rows: Vec<f64>,
        columns: Mat<f64>,
        single: Vec<f32>,
        ends: Vec<i32>,
        indices: Vec<i64>,
        values: Vec<f64>,
        operator: Known,
    }

    impl Instance {
        fn new() -> Self {
            let rows: Vec<f64> = (0..N * D).map(|at| entry(at / D, at % D)).collect();
            let stored: Vec<usize> = (0..N * D).filter(|&at| rows[at] != 0.0).collect();
            let before = |end: usize| stored.iter().filter(|&&at| at < end * D).count() as i32;
            Self {
                columns: Mat::from_fn(N, D, entry).unwrap(),
                single: rows.iter().map(|&value| value as f32).collect(),
                ends: (0..=N).map(before).collect(),
                indices: stored.iter().map(|at| (at % D) as i64).collect(),
                values: stored.iter().map(|&at| rows[at]).collect(),
                operator: Known(Mat::from_fn(N, D, entry).unwrap()),
                rows,
            }
        }

        fn by_rows(&self) -> Sparse<'_, f64> {
            let (ends, indices) = (Indices::I32(&self.ends), Indices::I64(&self.indices));
            Sparse::new(&Context::new(1), "A", Axis::Rows, (N, D), ends, indices, &self.values).unwrap()
        }
    }

    /// What is adjusted, and W (A - 1 m') S written down.
    struct Case {
        root_weights: Option<Vec<f64>>,
        means: Option<Vec<f64>>,
        scale: Option<Vec<f64>>,
        explicit: Mat<f64>,
    }

    fn cases() -> impl Iterator<Item = Case> {
        (0..8).map(|form| {
            let root = |i: usize| if i % 7 == 3 { 0.0 } else { 0.5 + (i % 5) as f64 };
            let root_weights: Option<Vec<f64>> = (form & 1 > 0).then(|| (0..N).map(root).collect());
            let weight = |i: usize| root_weights.as_ref().map_or(1.0, |roots| roots[i] * roots[i]);
            let total: f64 = (0..N).map(weight).sum();
            let mean = |j: usize| (0..N).map(|i| weight(i) * entry(i, j)).sum::<f64>() / total;
            let means: Option<Vec<f64>> = (form & 2 > 0).then(|| (0..D).map(mean).collect());
            let power = |j: usize| if j == 2 { 0.0 } else { 2f64.powi(j as i32 - 3) };
            let scale: Option<Vec<f64>> = (form & 4 > 0).then(|| (0..D).map(power).collect());
            let value = |i: usize, j: usize| {
                let centred = entry(i, j) - means.as_ref().map_or(0.0, |means| means[j]);
                weight(i).sqrt() * centred * scale.as_ref().map_or(1.0, |scale| scale[j])
            };
            let explicit = Mat::from_fn(N, D, value).unwrap();
            Case { root_weights, means, scale, explicit }
        })
    }

    impl Case {
        fn of<S>(&self, source: S) -> Adjusted<S> {
            let (root_weights, means, scale) =
                (self.root_weights.clone(), self.means.clone(), self.scale.clone());
            Adjusted { source, root_weights, means, scale }
        }

        fn near(&self, found: f64, expected: f64, what: &str) {
            let (w, m, s) = (self.root_weights.is_some(), self.means.is_some(), self.scale.is_some());
            assert!(
                (found - expected).abs() <= 1e-11 * expected.abs().max(1e4),
                "{what}, {w} {m} {s}: {found}"
            );
        }

        fn check_products<S: Source>(&self, source: S, what: &str) {
            let (adjusted, explicit) = (self.of(source), &Known(self.explicit.copy().unwrap()));
            assert_eq!(adjusted.shape(), (N, D));
            for (k, threads) in [(0, 1), (1, 2), (3, 2), (40, 1)] {
                let context = Context::new(threads);
                let x = Mat::from_fn(D, k, |i, j| ((3 * i + j) % 5) as f64 - 1.5).unwrap();
                let y = Mat::from_fn(N, k, |i, j| ((3 * i + j) % 7) as f64 - 2.5).unwrap();
                let (mut image, mut slope) = (Mat::zeros(N, k).unwrap(), Mat::zeros(k, D).unwrap());
                adjusted.product(&context, x.as_ref(), image.as_mut()).unwrap();
                adjusted.transposed_product(&context, y.as_ref(), slope.as_mut().t()).unwrap();
                let (mut by_hand, mut of_y) = (Mat::zeros(N, k).unwrap(), Mat::zeros(D, k).unwrap());
                explicit.product(x.as_ref(), by_hand.as_mut()).unwrap();
                explicit.transposed_product(y.as_ref(), of_y.as_mut()).unwrap();
                for side in 0..k {
                    (0..N).for_each(|i| self.near(image[(i, side)], by_hand[(i, side)], what));
                    (0..D).for_each(|j| self.near(slope[(side, j)], of_y[(j, side)], what));
                }
            }
        }

        fn check_tiles(&self, source: impl Rows, what: &str) {
            let (adjusted, mut buffer) = (self.of(source), vec![7.0; 3]);
            let tile = adjusted.tile(100..140, 1..6, &mut buffer).unwrap();
            for (i, j) in (0..40).flat_map(|i| (0..5).map(move |j| (i, j))) {
                self.near(tile.get(i, j), self.explicit[(100 + i, 1 + j)], what);
            }
            assert!(adjusted.is_untouched() || adjusted.borrowed(0..N).is_none());
            let scaled = adjusted.scaled_tile(100..140, &mut buffer).unwrap();
            for (i, j) in (0..40).flat_map(|i| (0..D).map(move |j| (i, j))) {
                let absent = adjusted.root_weight(100 + i) == 0.0 && adjusted.scale.is_some();
                let expected = if absent { 0.0 } else { entry(100 + i, j) * adjusted.scale_of(j) };
                assert_eq!(scaled.get(i, j), expected);
                assert_eq!(adjusted.scaled(100 + i, j, entry(100 + i, j)), expected);
            }
        }

        fn check_norms<S>(&self, source: S, what: &str)
        where
            Adjusted<S>: ColumnNorms,
        {
            let squares = self.of(source).squared_column_norms(&Context::new(2)).unwrap();
            for (j, &found) in squares.iter().enumerate() {
                let by_hand: f64 = self.explicit.col(j).iter().map(|value| value * value).sum();
                // What is taken off the last column is a thousand times its spread.
                assert!((found - by_hand).abs() <= 1e-9 * by_hand, "{what}: {found} for {by_hand}");
            }
        }
    }

    #[test]
    fn every_form_of_a_matrix_is_adjusted_to_the_explicit_one() {
        let instance = Instance::new();
        let (rows, columns) = (Dense::row_major(&instance.rows, N, D), instance.columns.as_ref());
        let single = Dense::row_major(&instance.single, N, D);
        let (csr, context) = (instance.by_rows(), Context::new(1));
        let csc = csr.along(&context, Axis::Columns).unwrap();
        for case in cases() {
            case.check_products(&instance.operator as &dyn LinearOperator, "operator");
            case.check_products(rows, "rows");
            case.check_products(columns, "columns");
            case.check_products(single, "single");
            case.check_products(csr, "csr");
            case.check_products(csc.as_ref(), "csc");
            case.check_products(Matrix::Dense(columns), "dense matrix");
            case.check_products(Matrix::Sparse(csr), "sparse matrix");
            case.check_tiles(rows, "rows");
            case.check_tiles(columns, "columns");
            case.check_tiles(single, "single");
            case.check_tiles(csr, "csr");
            case.check_tiles(Matrix::Dense(rows), "dense matrix");
            case.check_tiles(Matrix::Sparse(csc.as_ref()), "sparse matrix");
            case.check_norms(rows, "rows");
            case.check_norms(csr, "csr");
            case.check_norms(Matrix::Dense(single), "dense matrix");
            case.check_norms(Matrix::Sparse(csc.as_ref()), "sparse matrix");
        }
    }

    #[test]
    fn largest_magnitudes_keep_what_is_not_finite_and_count_zeros_that_are_not_stored() {
        let (mut instance, context) = (Instance::new(), Context::new(2));
        for case in cases() {
            let dense = case.of(Matrix::Dense(Dense::row_major(&instance.rows, N, D)));
            let sparse = case.of(Matrix::Sparse(instance.by_rows()));
            let dense = dense.largest_in_columns(&context).unwrap();
            let sparse = sparse.largest_in_columns(&context).unwrap();
            let heaviest = if case.root_weights.is_some() { 4.5 } else { 1.0 };
            for j in 0..D {
                let largest = case.explicit.col(j).iter().fold(0.0, |largest: f64, v| largest.max(v.abs()));
                case.near(dense[j], largest, "dense");
                let scale = case.scale.as_ref().map_or(1.0, |scale| scale[j]);
                let at_zero = heaviest * case.means.as_ref().map_or(0.0, |means| means[j].abs()) * scale;
                case.near(sparse[j], largest.max(at_zero), "sparse");
            }
        }
        instance.values[0] = f64::NAN;
        let column = instance.indices[0] as usize;
        let largest = Adjusted::new(Matrix::Sparse(instance.by_rows())).largest_in_columns(&context).unwrap();
        assert!(largest[column].is_nan() && largest.iter().filter(|value| value.is_nan()).count() == 1);
    }

    #[test]
    fn rows_of_weight_zero_are_zeros_and_weights_of_any_magnitude_have_a_norm() {
        let a = [1e300, 1.0, -1e300, 2.0];
        let mut adjusted = Adjusted::new(Dense::row_major(&a, 2, 2));
        adjusted.root_weights = Some(vec![0.0, 3e-162]);
        adjusted.scale = Some(vec![2f64.powi(900), 1.0]);
        let mut buffer = Vec::new();
        assert_eq!(adjusted.tile(0..1, 0..2, &mut buffer).unwrap().data(), [0.0; 2]);
        assert_eq!(adjusted.scaled_tile(0..1, &mut buffer).unwrap().data(), [0.0; 2]);
        let context = Context::new(1);
        assert_eq!(adjusted.weight_norm(&context).unwrap(), 3e-162);
        adjusted.root_weights = Some(vec![1.3e154, 1.3e154]);
        assert!((adjusted.weight_norm(&context).unwrap() / 1.3e154 - 2f64.sqrt()).abs() < 1e-15);
        assert_eq!(adjusted.heaviest(&context).unwrap(), 1.3e154);
        let plain = adjusted.unweighted().unwrap();
        assert_eq!((plain.root_weight(1), plain.scale_of(0)), (1.0, 2f64.powi(900)));
        assert_eq!(plain.weight_norm(&context).unwrap(), 2f64.sqrt());
    }
}
