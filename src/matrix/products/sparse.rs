//! Products of compressed sparse matrices, which are never made dense.
//!
//! A line (a row of CSR, a column of CSC) is gathered where the product has a row for it, and scattered where the other
//! factor has. Rows that are scattered, those of A'Y by CSR, are summed by block of rows and the blocks one after the
//! other; A'Y by CSC is summed in the same order, and so the same whichever way the matrix is stored.

use super::kernels::{Front, Lines, Sums, gather, gather_and_scatter, scatter};
use super::panel::{Panel, Spare, Staged};
use super::{ColumnNorms, Products, check_shapes};
use crate::error::Result;
use crate::matrix::blocks::{TILE_ROWS, blocks_by_cost, even_blocks, sparse_blocks};
use crate::matrix::{Axis, Buffer, Dense, DenseMut, Indices, Real, Sparse, make_rows};
use crate::memory::collected;
use crate::parallel::Context;
use crate::simd::{add_squares_of_lines, residual_lines};
use std::ops::{Range, RangeInclusive};

/// Cost of a block of lines.
const COST: usize = 1 << 14;

/// The most that a block costs of lines that are walked front by front: a fifth of a second for a whole panel.
const MOST_COST: usize = 1 << 23;

/// Numbers of a panel that is near enough to be met anywhere.
const NEAR: usize = 1 << 19;

/// Entries of a line in a block of rows from which on it pays to walk all lines through block after block.
const ENTRIES: usize = 8;

/// Numbers of a panel that stay in the second cache while lines are walked over them.
const FRONT: usize = 1 << 16;

/// How many vectors A'A is multiplied with line by line.
const AT_ONCE: RangeInclusive<usize> = 1..=4;

/// An expression of offsets and indices, whichever width they have.
macro_rules! of_indices {
    ($ends:expr, $all:expr, |$e:ident, $i:ident| $work:expr) => {
        match ($ends, $all) {
            (Indices::I32($e), Indices::I32($i)) => $work,
            (Indices::I32($e), Indices::I64($i)) => $work,
            (Indices::I64($e), Indices::I32($i)) => $work,
            (Indices::I64($e), Indices::I64($i)) => $work,
        }
    };
}

/// The lines of CSC must be sorted, as [`Sparse::is_canonical`] says.
impl<T: Real> Products for Sparse<'_, T> {
    fn shape(&self) -> (usize, usize) {
        (self.nrows(), self.ncols())
    }

    fn product(&self, context: &Context, x: Dense<'_, f64>, mut out: DenseMut<'_, f64>) -> Result<()> {
        check_shapes(self.shape(), &x, &out)?;
        for group in Panel::groups(x.ncols()) {
            let x = Staged::new(context, x.cols(group.clone()))?;
            let out = out.reborrow().cols(group);
            match self.axis() {
                Axis::Rows => self.gathered(context, x, out)?,
                Axis::Columns => self.scattered(context, x, out)?,
            }
        }
        Ok(())
    }

    fn transposed_product(
        &self,
        context: &Context,
        y: Dense<'_, f64>,
        mut out: DenseMut<'_, f64>,
    ) -> Result<()> {
        check_shapes((self.ncols(), self.nrows()), &y, &out)?;
        for group in Panel::groups(y.ncols()) {
            let out = out.reborrow().cols(group.clone());
            match self.axis() {
                Axis::Rows => self.summed(context, y.cols(group), out)?,
                Axis::Columns => {
                    self.gathered_by_block(context, Staged::new(context, y.cols(group))?, out)?
                }
            }
        }
        Ok(())
    }

    fn gram_product(
        &self,
        context: &Context,
        x: Dense<'_, f64>,
        mut image: DenseMut<'_, f64>,
        out: DenseMut<'_, f64>,
    ) -> Result<()> {
        let (n, d) = self.shape();
        check_shapes((n, d), &x, &image)?;
        check_shapes((d, n), &image.as_ref(), &out)?;
        if self.axis() == Axis::Columns || !AT_ONCE.contains(&x.ncols()) {
            self.product(context, x, image.reborrow())?;
            return self.transposed_product(context, image.as_ref(), out);
        }
        let x = Staged::new(context, x)?;
        self.sum_over_rows(context, out, |rows, part| {
            self.gather_and_scatter(self.all(rows), x.width(), x.as_slice(), part.as_mut_slice());
            Ok(())
        })
    }
}

impl<T: Real> ColumnNorms for Sparse<'_, T> {
    fn squared_column_norms(&self, context: &Context) -> Result<Buffer<f64>> {
        self.sum_over_entries(context, |_, _, value| value * value, |sum, square| *sum += square)
    }
}

impl<T: Real> Sparse<'_, T> {
    /// out += A X over the rows `rows`, which are those of `out`; both row-major with `width` numbers in a row, as a
    /// [`Panel`] has them.
    pub fn add_product(&self, rows: Range<usize>, width: usize, x: &[f64], out: &mut [f64]) {
        match self.axis() {
            Axis::Rows => self.gather(self.all(rows), Sums::Added, width, x, out),
            Axis::Columns => self.scatter(self.within(rows), None, width, x, out),
        }
    }

    /// out += A'Y over the rows `rows`, which are those of `y`.
    pub fn add_transposed_product(&self, rows: Range<usize>, width: usize, y: &[f64], out: &mut [f64]) {
        match self.axis() {
            Axis::Rows => self.scatter(self.all(rows), None, width, y, out),
            Axis::Columns => self.gather(self.within(rows), Sums::Added, width, y, out),
        }
    }

    /// R = B - W (A - 1 m') X and G += A'W R over the rows `rows` of CSR, as [`residual_lines`] has it;
    /// `b` and `roots` are those of these rows.
    pub(crate) fn add_residual(
        &self,
        rows: Range<usize>,
        roots: Option<&[f64]>,
        shifts: &[f64],
        x: &[f64],
        b: &[f64],
        g: &mut [f64],
        sums: [&mut [f64]; 2],
    ) {
        let (ends, values) = (self.ends().part(rows.start..rows.end + 1), self.values());
        of_indices!(ends, self.indices(), |ends, indices| {
            residual_lines(ends, indices, values, roots, shifts, x, b, g, sums)
        })
    }

    /// Adds (w_i a_ij)^2 over the rows `rows` of CSR to the squares of the columns; `roots` are those of these rows.
    pub(crate) fn add_squares(&self, rows: Range<usize>, roots: Option<&[f64]>, squares: &mut [f64]) {
        let (ends, values) = (self.ends().part(rows.start..rows.end + 1), self.values());
        of_indices!(ends, self.indices(), |ends, indices| {
            add_squares_of_lines(ends, indices, values, roots, squares)
        })
    }

    /// A row of `out` for every line.
    fn gathered(&self, context: &Context, x: Staged<'_>, out: DenseMut<'_, f64>) -> Result<()> {
        let (blocks, width) = (blocks_by_cost(self.ends(), COST)?, x.width());
        make_rows(context, out, &blocks, width, |_, lines, out| {
            self.gather(self.all(lines), Sums::Set, width, x.as_slice(), out);
            Ok(())
        })
    }

    /// The same for A'Y by CSC, summed by block of rows and the blocks one after the other.
    fn gathered_by_block(&self, context: &Context, y: Staged<'_>, out: DenseMut<'_, f64>) -> Result<()> {
        let (rows, width) = (sparse_blocks(self)?, y.width());
        let step = rows.first().map_or(1, Range::len);
        // Where vectors stay in the caches, or a line has few entries in a block, the entries are read as they lie.
        let many = self.nnz() / self.ncols().saturating_mul(rows.len()).max(1) >= ENTRIES;
        let by_fronts = many && y.as_slice().len() > NEAR;
        let blocks =
            blocks_by_cost(self.ends(), if by_fronts { self.cost_of_fronts(context) } else { COST })?;
        make_rows(context, out, &blocks, width, |_, lines, out| {
            out.fill(0.0);
            if !by_fronts {
                self.gather(self.all(lines), Sums::AddedAtMultiples(step), width, y.as_slice(), out);
                return Ok(());
            }
            let mut positions = self.positions(lines.clone(), 0)?;
            for rows in &rows {
                let front = Front { positions: &mut positions, below: rows.end };
                self.gather(self.all(lines.clone()), Sums::AddedUpTo(front), width, y.as_slice(), out);
            }
            Ok(())
        })
    }

    /// Every line times its row of x, into the rows of `out` that its entries name.
    fn scattered(&self, context: &Context, x: Staged<'_>, out: DenseMut<'_, f64>) -> Result<()> {
        let (nrows, width) = (out.nrows(), x.width());
        // No sum depends on the blocks, and each of them looks into every line: no more than threads can use.
        let count = self.nnz().div_ceil(self.cost_of_fronts(context)).max(1);
        let blocks = even_blocks(nrows, nrows.div_ceil(count).max(TILE_ROWS))?;
        // Nor on the fronts; a line should have some entries before each.
        let most = self.nnz() / self.ncols().saturating_mul(4).max(1);
        let step = (FRONT / width.max(1)).max(nrows / most.max(1)).max(1);
        make_rows(context, out, &blocks, width, |_, rows, out| {
            let mut positions = self.positions(0..self.ncols(), rows.start)?;
            out.fill(0.0);
            let lines = Part { lines: 0..self.ncols(), within: None, first: rows.start };
            for start in rows.clone().step_by(step) {
                let below = rows.end.min(start.saturating_add(step));
                let front = Front { positions: &mut positions, below };
                self.scatter(lines.clone(), Some(front), width, x.as_slice(), out);
            }
            Ok(())
        })
    }

    /// What a block of lines that are walked front by front costs: all that threads leave to it, as no sum depends on it.
    fn cost_of_fronts(&self, context: &Context) -> usize {
        let blocks = if context.threads() == 1 { 1 } else { 4 * context.threads() };
        ((self.nnz() + self.ends().len()) / blocks).clamp(COST, MOST_COST)
    }

    /// Where the entries of sorted lines begin whose index is at least `first`.
    fn positions(&self, lines: Range<usize>, first: usize) -> Result<Vec<usize>> {
        let position = |line: usize| match first {
            0 => self.ends().get(line),
            _ => self.extent_within(line, first..first).start,
        };
        collected(lines.map(position), "positions in sparse lines")
    }

    /// A'Y by CSR.
    fn summed(&self, context: &Context, y: Dense<'_, f64>, out: DenseMut<'_, f64>) -> Result<()> {
        self.sum_over_rows(context, out, |rows, part| {
            let y = Staged::block(y.rows(rows.clone()))?;
            self.scatter(self.all(rows), None, y.width(), y.as_slice(), part.as_mut_slice());
            Ok(())
        })
    }

    /// What `add` adds up over blocks of rows, of which the sums are added in their order.
    fn sum_over_rows(
        &self,
        context: &Context,
        out: DenseMut<'_, f64>,
        add: impl Fn(Range<usize>, &mut Panel) -> Result<()> + Sync,
    ) -> Result<()> {
        let (blocks, spare) = (sparse_blocks(self)?, Spare::new(self.ncols(), out.ncols()));
        let work = |_: &mut (), block: usize| {
            let mut part = spare.take()?;
            add(blocks[block].clone(), &mut part)?;
            Ok(part)
        };
        let mut sum = None;
        context.fold_with(blocks.len(), || (), work, |part| spare.add(&mut sum, part))?;
        sum.map_or_else(|| spare.take(), Ok)?.copy_to(context, out)
    }

    fn all(&self, lines: Range<usize>) -> Part {
        Part { lines, within: None, first: 0 }
    }

    /// All lines of CSC, of which only these rows are wanted.
    fn within(&self, rows: Range<usize>) -> Part {
        let first = rows.start;
        Part { lines: 0..self.ncols(), within: (rows != (0..self.nrows())).then_some(rows), first }
    }

    fn gather(&self, part: Part, sums: Sums<'_>, width: usize, x: &[f64], out: &mut [f64]) {
        let (ends, values, Part { lines, within, first }) = (self.ends(), self.values(), part);
        match self.indices() {
            Indices::I32(indices) => {
                gather(&Lines { ends, indices, values, lines, within, first }, sums, width, x, out)
            }
            Indices::I64(indices) => {
                gather(&Lines { ends, indices, values, lines, within, first }, sums, width, x, out)
            }
        }
    }

    fn gather_and_scatter(&self, part: Part, width: usize, x: &[f64], out: &mut [f64]) {
        let (ends, values, Part { lines, within, first }) = (self.ends(), self.values(), part);
        match self.indices() {
            Indices::I32(indices) => {
                gather_and_scatter(&Lines { ends, indices, values, lines, within, first }, width, x, out)
            }
            Indices::I64(indices) => {
                gather_and_scatter(&Lines { ends, indices, values, lines, within, first }, width, x, out)
            }
        }
    }

    fn scatter(&self, part: Part, front: Option<Front<'_>>, width: usize, y: &[f64], out: &mut [f64]) {
        let (ends, values, Part { lines, within, first }) = (self.ends(), self.values(), part);
        match self.indices() {
            Indices::I32(indices) => {
                scatter(&Lines { ends, indices, values, lines, within, first }, front, width, y, out)
            }
            Indices::I64(indices) => {
                scatter(&Lines { ends, indices, values, lines, within, first }, front, width, y, out)
            }
        }
    }
}

/// Some lines, as [`Lines`] says.
#[derive(Clone)]
struct Part {
    lines: Range<usize>,
    within: Option<Range<usize>>,
    first: usize,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::Mat;
    use crate::simd::testing::{on_every_path, same_bits};

    /// A matrix whose lines have 0, 7, 14, ... entries, several blocks of them, and long ones.
    struct Case {
        ends: Vec<i64>,
        indices: Vec<i32>,
        values: Vec<f32>,
    }

    /// More rows of a panel than one front has.
    const LINES: usize = 2500;
    const WIDTH: usize = 400;

    fn case() -> Case {
        let lengths = (0..LINES).map(|line| if line % 50 < 8 { 30 * (line % 9) } else { 7 * (line % 5) });
        let mut case = Case { ends: vec![0], indices: Vec::new(), values: Vec::new() };
        for length in lengths {
            let first = case.indices.len();
            let indices = (0..length).map(|k| (k * WIDTH / length + first % 7 % (WIDTH / length)) as i32);
            case.indices.extend(indices);
            case.values.extend((first..first + length).map(|k| (k as f32 + 0.3).sin()));
            case.ends.push(case.indices.len() as i64);
        }
        case
    }

    impl Case {
        fn view(&self) -> Sparse<'_, f32> {
            let (ends, indices) = (Indices::I64(&self.ends), Indices::I32(&self.indices));
            Sparse::new(&Context::new(1), "A", Axis::Rows, (LINES, WIDTH), ends, indices, &self.values)
                .unwrap()
        }
    }

    fn numbers(n: usize, k: usize) -> Mat<f64> {
        Mat::from_fn(n, k, |i, j| ((i * 29 + j * 7) as f64 * 0.754).sin()).unwrap()
    }

    fn product(a: &dyn Products, x: Dense<'_, f64>, threads: usize) -> Mat<f64> {
        let mut out = numbers(a.shape().0, x.ncols());
        a.product(&Context::new(threads), x, out.as_mut()).unwrap();
        out
    }

    fn transposed(a: &dyn Products, y: Dense<'_, f64>, threads: usize) -> Mat<f64> {
        let mut out = numbers(a.shape().1, y.ncols());
        a.transposed_product(&Context::new(threads), y, out.as_mut()).unwrap();
        out
    }

    #[test]
    fn columns_have_the_bits_of_the_definition_on_every_path() {
        let case = case();
        let a = case.view();
        let by_columns = a.along(&Context::new(2), Axis::Columns).unwrap();
        for k in [1, 2, 3, 8, 16, 20, 32, 40] {
            let (x, y) = (numbers(WIDTH, k), numbers(LINES, k));
            let (mut image, mut slope) = (Mat::zeros(LINES, k).unwrap(), Mat::zeros(WIDTH, k).unwrap());
            for j in 0..k {
                a.visit_rows(0..LINES, |i, c, value| image[(i, j)] += value * x[(c, j)]);
                for block in sparse_blocks(&a).unwrap() {
                    let (first, mut part) = (block.start, vec![0.0; WIDTH]);
                    a.visit_rows(block, |i, c, value| part[c] += value * y[(first + i, j)]);
                    slope.col_mut(j).iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
                }
            }
            for a in [&a as &dyn Products, &by_columns.as_ref(), &a.t().t()] {
                let squared = [1, 3].map(|threads| {
                    let (mut made, mut out) = (Mat::zeros(LINES, k).unwrap(), numbers(WIDTH, k));
                    let context = Context::new(threads);
                    a.gram_product(&context, x.as_ref(), made.as_mut(), out.as_mut()).unwrap();
                    out
                });
                let [one, three] = &squared;
                assert!(same_bits(one.as_slice(), three.as_slice()));
                assert!(same_bits(one.as_slice(), transposed(a, image.as_ref(), 1).as_slice()));
                for outcome in on_every_path(|| [product(a, x.as_ref(), 1), transposed(a, y.as_ref(), 1)]) {
                    assert!(same_bits(outcome[0].as_slice(), image.as_slice()));
                    assert!(same_bits(outcome[1].as_slice(), slope.as_slice()));
                }
                assert!(same_bits(product(a, x.as_ref(), 3).as_slice(), image.as_slice()));
                assert!(same_bits(transposed(a, y.as_ref(), 3).as_slice(), slope.as_slice()));
            }
            let transposed_image = transposed(&a.t(), x.as_ref(), 1);
            assert!(
                image.as_slice().iter().zip(transposed_image.as_slice()).all(|(a, b)| (a - b).abs() < 1e-12)
            );
        }
    }

    #[test]
    fn slabs_of_rows_make_up_the_product() {
        let case = case();
        let by_columns = case.view().along(&Context::new(1), Axis::Columns).unwrap();
        for (a, k) in [(case.view(), 1), (case.view(), 5), (by_columns.as_ref(), 1), (by_columns.as_ref(), 5)]
        {
            let x = numbers(WIDTH, k);
            let staged = Staged::new(&Context::new(1), x.as_ref()).unwrap();
            let mut panel = Panel::zeros(LINES, k).unwrap();
            let width = panel.width();
            for rows in [0..100, 100..101, 101..LINES] {
                let out = &mut panel.as_mut_slice()[rows.start * width..rows.end * width];
                a.add_product(rows, width, staged.as_slice(), out);
            }
            let expected = product(&a, x.as_ref(), 1);
            let found = Mat::from_fn(LINES, k, |i, j| panel.as_slice()[i * width + j]).unwrap();
            assert!(same_bits(found.as_slice(), expected.as_slice()));
            let (y, mut sum) = (numbers(LINES, k), Panel::zeros(WIDTH, k).unwrap());
            for rows in [0..100, 100..101, 101..LINES] {
                let y = Staged::block(y.as_ref().rows(rows.clone())).unwrap();
                a.add_transposed_product(rows, width, y.as_slice(), sum.as_mut_slice());
            }
            let expected = transposed(&a, y.as_ref(), 1);
            for (c, j) in (0..WIDTH).flat_map(|c| (0..k).map(move |j| (c, j))) {
                assert!((sum.as_slice()[c * width + j] - expected[(c, j)]).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused() {
        let case = case();
        let (a, x) = (case.view(), numbers(WIDTH + 1, 2));
        let mut out = numbers(LINES, 2);
        assert!(a.product(&Context::new(1), x.as_ref(), out.as_mut()).is_err());
        let x = x.as_ref().rows(0..WIDTH);
        assert!(a.product(&Context::new(1), x, numbers(LINES, 3).as_mut()).is_err());
        assert!(a.transposed_product(&Context::new(1), x, out.as_mut()).is_err());
        assert!(a.product(&Context::new(1), x, out.as_mut()).is_ok());
    }
}
