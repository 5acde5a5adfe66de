//! Cholesky factorisation of a sparse Gram matrix, its rows and columns in an order that keeps the factor sparse.

use super::condition::{power_iteration, scattered};
use super::norm;
use super::quadrature::damped_norm;
use super::sparse::Positions;
use super::view::{ensure_workspace, scratch};
use crate::error::{Error, Result};
use crate::matrix::{Axis, Mat, Sparse};
use crate::memory::{collected, copied, filled, push, room_for, zeros};
use crate::parallel::Context;
use faer::Par;
use faer::dyn_stack::{MemStack, StackReq};
use faer::linalg::cholesky::ldlt::factor::LdltRegularization;
use faer::perm::PermRef;
use faer::sparse::linalg::amd;
use faer::sparse::linalg::cholesky::{
    SymbolicCholesky, SymbolicCholeskyRaw, SymmetricOrdering, factorize_symbolic_cholesky, simplicial,
};
use faer::sparse::utils::{permute_self_adjoint_scratch, permute_self_adjoint_to_unsorted};
use faer::sparse::{SparseColMatRef, SymbolicSparseColMatRef};
use faer::{Side, Spec};
use std::ops::Range;

/// What memory is for.
const PURPOSE: &str = "a sparse Cholesky factor";

/// The lower triangle of a sparse G by columns, the diagonal first, the rows of the others in any order.
pub(crate) struct SparseGram {
    ends: Vec<u32>,
    rows: Vec<u32>,
    values: Vec<f64>,
}

/// A'A of sparse rows, of which as many entries as that are not zero are stored; `None` if these are more than `most`.
///
/// Panics if A is not stored by rows.
pub(crate) fn sparse_products(
    context: &Context,
    a: &Sparse<'_, f64>,
    most: usize,
) -> Result<Option<SparseGram>> {
    assert!(a.axis() == Axis::Rows);
    let most = most.min(u32::MAX as usize);
    let positions = match Positions::new(context, a) {
        Some(positions) if a.ncols() <= most => positions?,
        _ => return Ok(None),
    };
    // Where the entry of a row of G lies in the column at hand, and one more.
    let mut slots: Vec<usize> = zeros(a.ncols(), PURPOSE)?;
    let (mut ends, mut rows, mut values) = (room_for(a.ncols() + 1, PURPOSE)?, Vec::new(), Vec::new());
    push(&mut ends, 0, PURPOSE)?;
    for column in 0..a.ncols() {
        context.tick()?;
        let start = rows.len();
        append(&mut rows, &mut values, column)?;
        slots[column] = rows.len();
        for entry in positions.ends[column]..positions.ends[column + 1] {
            let (row, at) = (positions.rows[entry] as usize, positions.at[entry] as usize);
            let (scale, mut outcome) = (a.values()[at], Ok(()));
            a.visit(at..a.extent(row).end, |index, value| {
                if outcome.is_ok() && slots[index] <= start {
                    outcome = append(&mut rows, &mut values, index);
                    slots[index] = rows.len();
                }
                if outcome.is_ok() {
                    values[slots[index] - 1] += scale * value;
                }
            });
            outcome?;
            if rows.len() > most {
                return Ok(None);
            }
        }
        push(&mut ends, rows.len() as u32, PURPOSE)?;
    }
    Ok(Some(SparseGram { ends, rows, values }))
}

fn append(rows: &mut Vec<u32>, values: &mut Vec<f64>, row: usize) -> Result<()> {
    push(rows, row as u32, PURPOSE)?;
    push(values, 0.0, PURPOSE)
}

impl SparseGram {
    /// Rows and columns.
    pub fn order(&self) -> usize {
        self.ends.len() - 1
    }

    /// Entries that are stored.
    pub fn stored(&self) -> usize {
        self.rows.len()
    }

    /// An entry of the diagonal.
    pub fn diagonal(&self, j: usize) -> f64 {
        self.values[self.ends[j] as usize]
    }

    /// D^-1 G D^-1 with other entries on the diagonal.
    pub fn scaled(&self, scale: &[f64], diagonal: impl Fn(usize) -> f64) -> Result<Self> {
        let (ends, rows) = (copied(&self.ends, PURPOSE)?, copied(&self.rows, PURPOSE)?);
        let mut values = copied(&self.values, PURPOSE)?;
        for j in 0..self.order() {
            let column = ends[j] as usize..ends[j + 1] as usize;
            for (value, &row) in values[column.clone()].iter_mut().zip(&rows[column.clone()]) {
                *value = *value / scale[row as usize] / scale[j];
            }
            values[column.start] = diagonal(j);
        }
        Ok(Self { ends, rows, values })
    }

    fn pattern(&self) -> SymbolicSparseColMatRef<'_, u32> {
        SymbolicSparseColMatRef::new_unsorted_checked(
            self.order(),
            self.order(),
            &self.ends,
            None,
            &self.rows,
        )
    }

    /// An order of rows and columns, and what the factor is in it; `None` if that has more than `most` entries.
    pub fn analyse(&self, most: usize) -> Result<Option<SparseOrder>> {
        let (d, stored) = (self.order(), self.stored());
        if i32::try_from(d).is_err() {
            return Ok(None);
        }
        let (mut order, mut inverse): (Vec<u32>, Vec<u32>) = (zeros(d, PURPOSE)?, zeros(d, PURPOSE)?);
        let mut buffer = scratch(amd::order_maybe_unsorted_scratch::<u32>(d, stored))?;
        let stack = MemStack::new(&mut buffer);
        amd::order_maybe_unsorted(&mut order, &mut inverse, self.pattern(), Default::default(), stack)
            .map_err(of_faer)?;
        let permutation = PermRef::new_checked(&order, &inverse, d);
        let (fill, flops) = self.cost_in(permutation)?;
        if fill > most {
            return Ok(None);
        }
        let ordering = SymmetricOrdering::Custom(permutation);
        let symbolic = factorize_symbolic_cholesky(self.pattern(), Side::Lower, ordering, Default::default())
            .map_err(of_faer)?;
        Ok(Some(SparseOrder { symbolic, order, fill, flops }))
    }

    /// Entries of the factor in that order, and the squares of the lengths of its columns.
    fn cost_in(&self, permutation: PermRef<'_, u32>) -> Result<(usize, f64)> {
        let (d, stored) = (self.order(), self.stored());
        let (mut ends, mut rows): (Vec<u32>, Vec<u32>) = (zeros(d + 1, PURPOSE)?, zeros(stored, PURPOSE)?);
        let mut values: Vec<f64> = zeros(stored, PURPOSE)?;
        let counting = simplicial::prefactorize_symbolic_cholesky_scratch::<u32>(d, stored);
        let mut buffer = scratch(StackReq::or(permute_self_adjoint_scratch::<u32>(d), counting))?;
        let stack = MemStack::new(&mut buffer);
        let gram = SparseColMatRef::new(self.pattern(), &self.values);
        let upper = permute_self_adjoint_to_unsorted(
            &mut values,
            &mut ends,
            &mut rows,
            gram,
            permutation,
            Side::Lower,
            Side::Upper,
            stack,
        );
        let (mut tree, mut counts): (Vec<i32>, Vec<u32>) = (zeros(d, PURPOSE)?, zeros(d, PURPOSE)?);
        simplicial::prefactorize_symbolic_cholesky(&mut tree, &mut counts, upper.symbolic(), stack);
        let fill = counts.iter().fold(0usize, |fill, &count| fill + count as usize);
        Ok((fill, counts.iter().map(|&count| f64::from(count).powi(2)).sum()))
    }
}

fn of_faer(error: faer::sparse::FaerError) -> Error {
    match error {
        faer::sparse::FaerError::OutOfMemory => Error::Allocation { bytes: 0, purpose: PURPOSE },
        _ => Error::Internal("a sparse matrix that was checked has indices out of range".into()),
    }
}

/// An order of the rows and columns of a sparse G, and the pattern of its factor.
pub(crate) struct SparseOrder {
    symbolic: SymbolicCholesky<u32>,
    order: Vec<u32>,
    /// Entries of the factor.
    pub fill: usize,
    /// Multiplications and additions that it takes.
    pub flops: f64,
}

impl SparseOrder {
    /// R with R'R = G - c c', G of the pattern that was analysed and with a diagonal near one, and c zero if there is
    /// none. Columns whose pivots are no larger than `tolerance` are taken to depend on those before them; what is made of
    /// them is for the caller to prove. `None` if something is not finite.
    pub fn factor(
        &self,
        gram: &SparseGram,
        less: Option<&[f64]>,
        tolerance: f64,
    ) -> Result<Option<SparseTriangle>> {
        ensure_workspace();
        let mut values = zeros(self.symbolic.len_val(), PURPOSE)?;
        let mut buffer =
            scratch(self.symbolic.factorize_numeric_ldlt_scratch::<f64>(Par::Seq, Spec::default()))?;
        let positive = filled(1i8, gram.order(), PURPOSE)?;
        // In blocks of columns, L D L' minds a pivot that is replaced, and L L' does not.
        let outcome = self.symbolic.factorize_numeric_ldlt(
            &mut values,
            SparseColMatRef::new(gram.pattern(), &gram.values),
            Side::Lower,
            LdltRegularization {
                dynamic_regularization_signs: Some(&positive),
                dynamic_regularization_epsilon: tolerance,
                dynamic_regularization_delta: OUT_OF_THE_WAY,
            },
            Par::Seq,
            MemStack::new(&mut buffer),
            Spec::default(),
        );
        if outcome.is_err() {
            return Ok(None);
        }
        let (blocks, pattern) = self.blocks()?;
        let trace: f64 = (0..gram.order()).map(|j| gram.diagonal(j)).sum();
        let frobenius = (trace - less.map_or(0.0, |less| norm(less).powi(2))).max(0.0).sqrt();
        let order = copied(&self.order, PURPOSE)?;
        let mut triangle =
            SparseTriangle { order, blocks, pattern, values, dropped: Vec::new(), less: None, frobenius };
        if !triangle.take_roots()? {
            return Ok(None);
        }
        if let Some(less) = less {
            let mut direction = triangle.ordered(less)?;
            triangle.solve_lower(&mut direction);
            let length = norm(&direction);
            let left = (1.0 - length) * (1.0 + length);
            if left.is_nan() || left < -tolerance {
                return Ok(None);
            }
            direction.iter_mut().for_each(|value| *value /= length.max(f64::MIN_POSITIVE));
            triangle.less = Some((direction, if left <= tolerance { 0.0 } else { left.sqrt() }));
        }
        Ok(Some(triangle))
    }

    fn blocks(&self) -> Result<(Vec<Block>, Vec<u32>)> {
        let (mut blocks, mut pattern) = (Vec::new(), Vec::new());
        let mut add = |columns: Range<usize>, below: &[u32], values: usize| {
            let start = pattern.len();
            crate::memory::extend(&mut pattern, below.iter().copied(), PURPOSE)?;
            push(&mut blocks, Block { columns, below: start..pattern.len(), values }, PURPOSE)
        };
        match self.symbolic.raw() {
            SymbolicCholeskyRaw::Simplicial(symbolic) => {
                let ends = symbolic.col_ptr();
                for j in 0..self.order.len() {
                    let start = ends[j] as usize;
                    add(j..j + 1, &symbolic.row_idx()[start + 1..ends[j + 1] as usize], start)?;
                }
            }
            SymbolicCholeskyRaw::Supernodal(symbolic) => {
                for s in 0..symbolic.n_supernodes() {
                    let columns =
                        symbolic.supernode_begin()[s] as usize..symbolic.supernode_end()[s] as usize;
                    let values = symbolic.col_ptr_for_val()[s] as usize;
                    add(columns, symbolic.supernode(s).pattern(), values)?;
                }
            }
        }
        Ok((blocks, pattern))
    }
}

/// Columns of L that have their rows below in common.
struct Block {
    columns: Range<usize>,
    /// Where these are in the pattern.
    below: Range<usize>,
    /// Where the values begin: those of the square at the diagonal and those below, column by column.
    values: usize,
}

/// R = (I - (1 - s) u u') L'P for a sparse lower triangle L and a permutation P.
///
/// Columns of L that were dropped are zeros, as s is where u was, and what they would divide by is infinite: R is a
/// trapezoid, and its inverse has zeros for their unknowns.
pub struct SparseTriangle {
    /// Number of the unknown in every place.
    order: Vec<u32>,
    blocks: Vec<Block>,
    pattern: Vec<u32>,
    values: Vec<f64>,
    /// Places of the columns that were dropped.
    dropped: Vec<usize>,
    /// u and s.
    less: Option<(Vec<f64>, f64)>,
    /// |R|_F
    frobenius: f64,
}

/// The pivot of columns that are dropped: it stands for infinity.
const OUT_OF_THE_WAY: f64 = f64::from_bits((1023 + 300) << 52);

/// x / y, y = 0 standing for infinity.
fn over(x: f64, y: f64) -> f64 {
    if y == 0.0 { 0.0 } else { x / y }
}

/// A column of L.
struct Column<'a> {
    j: usize,
    diagonal: f64,
    /// In the rows j + 1, j + 2, ...
    next: &'a [f64],
    /// In these rows.
    rows: &'a [u32],
    below: &'a [f64],
}

impl SparseTriangle {
    /// Number of unknowns.
    pub fn order(&self) -> usize {
        self.order.len()
    }

    /// Number of rows that are not zero.
    pub fn rank(&self) -> usize {
        let is_singular = self.less.as_ref().is_some_and(|&(_, s)| s == 0.0);
        self.order() - self.dropped.len() - usize::from(is_singular)
    }

    /// As many vectors as the rank lacks, which R takes to zero.
    pub fn null_vectors(&self) -> Result<Mat<f64>> {
        let mut vectors = Mat::zeros(self.order(), self.order() - self.rank())?;
        let mut vector: Vec<f64> = zeros(self.order(), PURPOSE)?;
        for i in 0..vectors.ncols() {
            match (self.dropped.get(i), &self.less) {
                (Some(&place), _) => {
                    vector.fill(0.0);
                    vector[place] = -1.0;
                    self.multiply_upper(&mut vector);
                    self.solve_upper(&mut vector);
                    vector[place] = 1.0;
                }
                (None, Some((u, _))) => {
                    vector.copy_from_slice(u);
                    self.solve_upper(&mut vector);
                }
                (None, None) => unreachable!("the rank lacks what was dropped"),
            }
            let into = vectors.col_mut(i);
            self.order.iter().zip(&vector).for_each(|(&at, &value)| into[at as usize] = value);
        }
        Ok(vectors)
    }

    /// L D^(1/2) in place of L and D, zeros for the columns that were put out of the way; false if a pivot is no number.
    fn take_roots(&mut self) -> Result<bool> {
        for block in &self.blocks {
            let (width, height) = (block.columns.len(), block.columns.len() + block.below.len());
            for c in 0..width {
                let column = &mut self.values[block.values + c * height..][c..height];
                let pivot = column[0];
                if !(pivot > 0.0 && pivot.is_finite()) {
                    return Ok(false);
                }
                let is_dropped = pivot >= OUT_OF_THE_WAY;
                if is_dropped {
                    push(&mut self.dropped, block.columns.start + c, PURPOSE)?;
                }
                let root = if is_dropped { 0.0 } else { pivot.sqrt() };
                column[0] = 1.0;
                column.iter_mut().for_each(|value| *value *= root);
            }
        }
        Ok(true)
    }

    /// |R|_F
    pub fn frobenius_norm(&self) -> f64 {
        self.frobenius
    }

    fn column(&self, block: &Block, c: usize) -> Column<'_> {
        let rows = &self.pattern[block.below.clone()];
        let (width, height) = (block.columns.len(), block.columns.len() + rows.len());
        let (square, below) = self.values[block.values + c * height..][..height].split_at(width);
        Column { j: block.columns.start + c, diagonal: square[c], next: &square[c + 1..], rows, below }
    }

    /// Columns from the first to the last.
    fn forwards(&self, mut visit: impl FnMut(Column<'_>)) {
        for block in &self.blocks {
            for c in 0..block.columns.len() {
                visit(self.column(block, c));
            }
        }
    }

    /// Columns from the last to the first.
    fn backwards(&self, mut visit: impl FnMut(Column<'_>)) {
        for block in self.blocks.iter().rev() {
            for c in (0..block.columns.len()).rev() {
                visit(self.column(block, c));
            }
        }
    }

    /// x = L^-1 x
    fn solve_lower(&self, x: &mut [f64]) {
        self.forwards(|Column { j, diagonal, next, rows, below }| {
            let value = over(x[j], diagonal);
            x[j] = value;
            x[j + 1..].iter_mut().zip(next).for_each(|(x, l)| *x -= l * value);
            rows.iter().zip(below).for_each(|(&row, l)| x[row as usize] -= l * value);
        });
    }

    /// x = L'^-1 x
    fn solve_upper(&self, x: &mut [f64]) {
        self.backwards(|Column { j, diagonal, next, rows, below }| {
            let near = x[j + 1..].iter().zip(next).fold(x[j], |sum, (x, l)| sum - l * x);
            let all = rows.iter().zip(below).fold(near, |sum, (&row, l)| sum - l * x[row as usize]);
            x[j] = over(all, diagonal);
        });
    }

    /// x = L x
    fn multiply_lower(&self, x: &mut [f64]) {
        self.backwards(|Column { j, diagonal, next, rows, below }| {
            let value = x[j];
            x[j] = diagonal * value;
            x[j + 1..].iter_mut().zip(next).for_each(|(x, l)| *x += l * value);
            rows.iter().zip(below).for_each(|(&row, l)| x[row as usize] += l * value);
        });
    }

    /// x = L'x
    fn multiply_upper(&self, x: &mut [f64]) {
        self.forwards(|Column { j, diagonal, next, rows, below }| {
            let near = x[j + 1..].iter().zip(next).fold(diagonal * x[j], |sum, (x, l)| sum + l * x);
            x[j] = rows.iter().zip(below).fold(near, |sum, (&row, l)| sum + l * x[row as usize]);
        });
    }

    /// x += (factor - 1) u u'x for what that is of s.
    fn stretch(&self, x: &mut [f64], factor: impl Fn(f64) -> f64) {
        if let Some((u, s)) = &self.less {
            let along = crate::simd::dot(u, x) * (factor(*s) - 1.0);
            crate::simd::axpy(along, u, x);
        }
    }

    /// P x
    fn ordered(&self, x: &[f64]) -> Result<Vec<f64>> {
        collected(self.order.iter().map(|&at| x[at as usize]), PURPOSE)
    }

    /// R'^-1 x
    pub fn whiten(&self, x: &[f64], out: &mut [f64]) {
        self.order.iter().zip(&mut *out).for_each(|(&at, out)| *out = x[at as usize]);
        self.solve_lower(out);
        self.stretch(out, |s| over(1.0, s));
    }

    /// R^-1 y, y being lost.
    pub fn unwhiten(&self, y: &mut [f64], out: &mut [f64]) {
        self.stretch(y, |s| over(1.0, s));
        self.solve_upper(y);
        self.order.iter().zip(y).for_each(|(&at, y)| out[at as usize] = *y);
    }

    /// |R'^-1 e_j| for every unknown j: as many solves.
    pub fn inverse_row_norms(&self) -> Result<Vec<f64>> {
        let (mut norms, mut unit, mut image) =
            (zeros(self.order(), PURPOSE)?, zeros(self.order(), PURPOSE)?, zeros(self.order(), PURPOSE)?);
        for j in 0..self.order() {
            unit[j] = 1.0;
            self.whiten(&unit, &mut image);
            unit[j] = 0.0;
            norms[j] = norm(&image);
        }
        Ok(norms)
    }

    /// |R x|
    pub fn image_norm(&self, x: &[f64]) -> Result<f64> {
        let mut image = self.ordered(x)?;
        self.multiply_upper(&mut image);
        self.stretch(&mut image, |s| s);
        Ok(norm(&image))
    }

    /// Estimates of |R S| and of |(R S)^-1| for a diagonal S, of ones if there is none: never above the truth but for
    /// rounding.
    pub fn norms(&self, scale: Option<&[f64]>) -> Result<[f64; 2]> {
        let scale = scale.map(|scale| self.ordered(scale)).transpose()?;
        let times = |x: &mut [f64]| {
            if let Some(scale) = &scale {
                x.iter_mut().zip(scale).for_each(|(x, scale)| *x *= scale);
            }
        };
        let divide = |x: &mut [f64]| {
            if let Some(scale) = &scale {
                x.iter_mut().zip(scale).for_each(|(x, scale)| *x /= scale);
            }
        };
        let largest = power_iteration(
            scattered(self.order())?,
            |x| {
                times(x);
                self.multiply_upper(x);
                self.stretch(x, |s| s);
            },
            |x| {
                self.stretch(x, |s| s);
                self.multiply_lower(x);
                times(x);
            },
        );
        let inverse = power_iteration(
            scattered(self.order())?,
            |x| {
                divide(x);
                self.solve_lower(x);
                self.stretch(x, |s| over(1.0, s));
            },
            |x| {
                self.stretch(x, |s| over(1.0, s));
                self.solve_upper(x);
                divide(x);
            },
        );
        Ok([largest, inverse])
    }

    /// |(R'R + w^2 I)^(-1/2) g|, or a bound on it: by quadrature, or without w where that does not come to an end.
    pub fn damped_norm(&self, gradient: &[f64], damping: f64) -> Result<f64> {
        let gradient = self.ordered(gradient)?;
        let multiply = |x: &[f64]| {
            let mut image = copied(x, PURPOSE)?;
            self.multiply_upper(&mut image);
            self.stretch(&mut image, |s| s);
            Ok(image)
        };
        let multiply_transposed = |mut image: Vec<f64>| {
            self.stretch(&mut image, |s| s);
            self.multiply_lower(&mut image);
            Ok(image)
        };
        let bound = damped_norm(&gradient, damping, MOST_STEPS, multiply, multiply_transposed)?;
        let mut y = gradient;
        self.solve_lower(&mut y);
        self.stretch(&mut y, |s| over(1.0, s));
        Ok(bound.map_or(norm(&y), |bound| bound.min(norm(&y))))
    }

    /// R, written down, with the row of every unknown in its place.
    pub fn rows(&self) -> Result<Mat<f64>> {
        let d = self.order();
        let mut rows = Mat::zeros(d, d)?;
        let mut column = zeros(d, PURPOSE)?;
        for j in 0..d {
            column.fill(0.0);
            column[j] = 1.0;
            self.multiply_upper(&mut column);
            self.stretch(&mut column, |s| s);
            let into = rows.col_mut(self.order[j] as usize);
            self.order.iter().zip(&column).for_each(|(&at, &value)| into[at as usize] = value);
        }
        Ok(rows)
    }
}

/// Most steps of a quadrature.
const MOST_STEPS: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::testing::{distance, product};
    use crate::linalg::{Factor, cholesky, svd};
    use crate::matrix::Indices;

    /// Rows of a grid of points, tied to their neighbours, and one long row.
    fn grid(side: usize, long: usize) -> (Vec<i32>, Vec<i32>, Vec<f64>) {
        let (mut ends, mut indices, mut values) = (vec![0], Vec::new(), Vec::new());
        let mut row = |entries: &[(usize, f64)]| {
            entries.iter().for_each(|&(j, value)| {
                indices.push(j as i32);
                values.push(value);
            });
            ends.push(indices.len() as i32);
        };
        for i in 0..side * side {
            let scale = 1.0 + (i % 7) as f64;
            row(&[(i, 0.05 * scale)]);
            if i % side + 1 < side {
                row(&[(i, scale), (i + 1, -scale)]);
            }
            if i + side < side * side {
                row(&[(i, 1.0), (i + side, -1.0)]);
            }
        }
        row(&(0..long).map(|j| (j, 0.3)).collect::<Vec<_>>());
        (ends, indices, values)
    }

    fn rows_of(side: usize, (ends, indices, values): &(Vec<i32>, Vec<i32>, Vec<f64>)) -> Sparse<'_, f64> {
        let (ends_, indices) = (Indices::I32(ends), Indices::I32(indices));
        let shape = (ends.len() - 1, side * side);
        Sparse::new(&Context::new(1), "A", Axis::Rows, shape, ends_, indices, values).unwrap()
    }

    /// The Gram matrix as it is and written down, and the dense rows.
    fn gram(side: usize, long: usize) -> (SparseGram, Mat<f64>) {
        let parts = grid(side, long);
        let a = rows_of(side, &parts);
        let sparse = sparse_products(&Context::new(1), &a, usize::MAX).unwrap().unwrap();
        let mut dense = Mat::zeros(a.nrows(), a.ncols()).unwrap();
        (0..a.nrows()).for_each(|i| a.visit_line(i, |j, value| dense[(i, j)] = value));
        (sparse, product(dense.as_ref().t(), dense.as_ref()))
    }

    #[test]
    fn products_are_those_of_dense_rows_and_given_up_where_they_are_too_many() {
        for (side, long) in [(1, 0), (2, 3), (6, 0), (9, 20)] {
            let (sparse, dense) = gram(side, long);
            let mut found = Mat::zeros(side * side, side * side).unwrap();
            for j in 0..sparse.order() {
                assert_eq!(sparse.rows[sparse.ends[j] as usize] as usize, j);
                for k in sparse.ends[j] as usize..sparse.ends[j + 1] as usize {
                    found[(sparse.rows[k] as usize, j)] = sparse.values[k];
                    found[(j, sparse.rows[k] as usize)] = sparse.values[k];
                }
            }
            assert!(distance(found.as_ref(), dense.as_ref()) < 1e-12);
            let parts = grid(side, long);
            let few = |most: usize| sparse_products(&Context::new(1), &rows_of(side, &parts), most).unwrap();
            assert!(few(sparse.stored()).is_some() && few(sparse.stored() - 1).is_none());
        }
    }

    #[test]
    fn a_factor_is_that_of_the_dense_matrix_whichever_way_it_was_made() {
        // The last is dense enough for blocks of columns.
        for (side, long) in [(1, 0), (3, 0), (8, 5), (12, 140)] {
            let (sparse, dense) = gram(side, long);
            let d = side * side;
            let order = sparse.analyse(usize::MAX).unwrap().unwrap();
            assert!(order.fill >= sparse.stored() && order.flops >= order.fill as f64);
            assert!(sparse.analyse(order.fill - 1).unwrap().is_none());
            // c'G^-1 c is a half.
            let u = Mat::from_fn(d, 1, |j, _| 1.0 + (j % 3) as f64).unwrap();
            let c = product(dense.as_ref(), u.as_ref());
            let size = (2.0 * crate::simd::dot(c.col(0), u.col(0))).sqrt();
            let c: Vec<f64> = c.col(0).iter().map(|c| c / size).collect();
            for less in [None, Some(&c[..])] {
                let full =
                    Mat::from_fn(d, d, |i, j| dense[(i, j)] - less.map_or(0.0, |c| c[i] * c[j])).unwrap();
                let triangle = Factor::Triangle(cholesky(&full).unwrap().unwrap());
                let found = Factor::Sparse(order.factor(&sparse, less, 1e-14).unwrap().unwrap());
                let gradient = Mat::from_fn(d, 2, |i, j| (i as f64 + 1.0).sin() + j as f64).unwrap();
                let near = |x: f64, y: f64, digits: f64| (x - y).abs() <= digits * (1.0 + y.abs());
                let solve = |f: &Factor| f.unwhiten(&f.whiten(&gradient).unwrap()).unwrap();
                let (left, right) = (solve(&found), solve(&triangle));
                assert!(left.as_slice().iter().zip(right.as_slice()).all(|(x, y)| near(*x, *y, 1e-9)));
                let both = |of: &dyn Fn(&Factor) -> f64, digits| near(of(&found), of(&triangle), digits);
                assert!(both(&|f| f.frobenius_norm(), 1e-12));
                assert!(both(&|f| norm(f.whiten(&gradient).unwrap().col(1)), 1e-10));
                assert!(both(&|f| f.image_norm(gradient.col(0)).unwrap(), 1e-10));
                assert!(both(&|f| f.inverse_row_norms().unwrap()[d / 2], 1e-10));
                let s = svd(triangle.rows().unwrap().as_ref()).unwrap().s;
                let (condition, norm_of) = (found.condition().unwrap(), found.norm().unwrap());
                assert!(condition <= s[0] / s[d - 1] * (1.0 + 1e-10) && condition > 0.4 * s[0] / s[d - 1]);
                assert!(norm_of <= s[0] * (1.0 + 1e-10) && norm_of > 0.7 * s[0]);
                let rows = found.rows().unwrap();
                assert!(distance(product(rows.as_ref().t(), rows.as_ref()).as_ref(), full.as_ref()) < 1e-10);
                for damping in [0.0, 1e-3, 0.1, 1.0, 10.0, 1e3] {
                    let [bound, exact] =
                        [&found, &triangle].map(|f| f.damped_norm(gradient.col(0), damping).unwrap());
                    assert!(
                        bound > exact * (1.0 - 1e-9) && bound < 1.2 * exact,
                        "{damping}: {bound} {exact}"
                    );
                }
            }
        }
    }

    /// Columns that are sums of two others, after those of a grid.
    fn deficient(side: usize, long: usize, sums: usize) -> (SparseGram, Mat<f64>) {
        let (ends, indices, values) = grid(side, long);
        let d = side * side;
        let (mut wide_ends, mut wide_indices, mut wide_values) = (vec![0], Vec::new(), Vec::new());
        for row in ends.windows(2) {
            let row = row[0] as usize..row[1] as usize;
            for (&j, &value) in indices[row.clone()].iter().zip(&values[row.clone()]) {
                wide_indices.push(j);
                wide_values.push(value);
            }
            for sum in 0..sums {
                let entry = |at: usize| {
                    if [3 * sum, 3 * sum + 2].contains(&(indices[at] as usize)) { values[at] } else { 0.0 }
                };
                wide_indices.push((d + sum) as i32);
                wide_values.push(row.clone().map(entry).sum());
            }
            wide_ends.push(wide_indices.len() as i32);
        }
        let shape = (wide_ends.len() - 1, d + sums);
        let (ends, columns) = (Indices::I32(&wide_ends), Indices::I32(&wide_indices));
        let rows =
            Sparse::new(&Context::new(1), "A", Axis::Rows, shape, ends, columns, &wide_values).unwrap();
        let sparse = sparse_products(&Context::new(1), &rows, usize::MAX).unwrap().unwrap();
        let norms: Vec<f64> = (0..d + sums).map(|j| sparse.diagonal(j).sqrt()).collect();
        let sparse = sparse.scaled(&norms, |_| 1.0).unwrap();
        let mut dense = Mat::zeros(d + sums, d + sums).unwrap();
        for j in 0..d + sums {
            for k in sparse.ends[j] as usize..sparse.ends[j + 1] as usize {
                dense[(sparse.rows[k] as usize, j)] = sparse.values[k];
                dense[(j, sparse.rows[k] as usize)] = sparse.values[k];
            }
        }
        (sparse, dense)
    }

    #[test]
    fn of_dependent_columns_a_basis_and_null_vectors() {
        for (side, long, sums) in [(4, 0, 1), (8, 5, 3), (12, 140, 5)] {
            let (sparse, dense) = deficient(side, long, sums);
            let d = dense.ncols();
            let order = sparse.analyse(usize::MAX).unwrap().unwrap();
            let u = Mat::from_fn(d, 1, |j, _| 1.0 + (j % 3) as f64).unwrap();
            let c = product(dense.as_ref(), u.as_ref());
            // c is in the span of G, and G - c c' has one direction less.
            let size = crate::simd::dot(c.col(0), u.col(0)).sqrt();
            let c: Vec<f64> = c.col(0).iter().map(|c| c / size).collect();
            for less in [None, Some(&c[..])] {
                let full =
                    Mat::from_fn(d, d, |i, j| dense[(i, j)] - less.map_or(0.0, |c| c[i] * c[j])).unwrap();
                let triangle = order.factor(&sparse, less, 1e-11).unwrap().unwrap();
                let lacks = sums + usize::from(less.is_some());
                assert_eq!(triangle.rank(), d - lacks);
                let null = triangle.null_vectors().unwrap();
                assert_eq!(null.ncols(), lacks);
                let image = product(full.as_ref(), null.as_ref());
                assert!(image.as_slice().iter().all(|value| value.abs() < 1e-10));
                assert!((0..lacks).all(|i| norm(null.col(i)) > 0.5));
                let rows = triangle.rows().unwrap();
                assert!(distance(product(rows.as_ref().t(), rows.as_ref()).as_ref(), full.as_ref()) < 1e-10);
                let factor = Factor::Sparse(triangle);
                let gradient = product(full.as_ref(), u.as_ref());
                let whitened = factor.whiten(&gradient).unwrap();
                let back = product(rows.as_ref().t(), rows_in_place(&factor, &whitened).as_ref());
                let x = factor.unwhiten(&whitened).unwrap();
                assert!(distance(product(full.as_ref(), x.as_ref()).as_ref(), gradient.as_ref()) < 1e-9);
                assert!(distance(back.as_ref(), gradient.as_ref()) < 1e-9);
                assert!(factor.condition().unwrap() < 1e4);
            }
        }
    }

    /// R x for the x that has this whitened vector.
    fn rows_in_place(factor: &Factor, whitened: &Mat<f64>) -> Mat<f64> {
        product(factor.rows().unwrap().as_ref(), factor.unwhiten(whitened).unwrap().as_ref())
    }

    #[test]
    fn what_is_not_finite_has_no_factor_and_what_is_not_definite_is_dropped() {
        let (sparse, _) = gram(4, 0);
        let order = sparse.analyse(usize::MAX).unwrap().unwrap();
        let ones = [1.0; 16];
        for (diagonal, is_dropped) in [(-1.0, Some(true)), (0.0, Some(true)), (f64::NAN, None)] {
            let bad = sparse.scaled(&ones, |j| if j == 7 { diagonal } else { 9.0 }).unwrap();
            let found = order.factor(&bad, None, 1e-14).unwrap();
            assert_eq!(found.map(|triangle| triangle.rank() < 16), is_dropped);
        }
        assert!(order.factor(&sparse, Some(&[10.0; 16]), 1e-14).unwrap().is_none());
        let scaled = sparse.scaled(&[2.0; 16], |j| sparse.diagonal(j) / 4.0).unwrap();
        assert!((scaled.values.iter().sum::<f64>() * 4.0 - sparse.values.iter().sum::<f64>()).abs() < 1e-12);
    }
}
