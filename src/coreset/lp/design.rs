//! The rows of a regression as its solvers see them: weighted, with an intercept and with rows for a penalty, in coordinates
//! in which the columns are independent and squares are numbers.

use super::few::FewBuf;
use super::sparse::SparseRows;
use super::tiles::{
    Buffers, Entries, Normal, PURPOSE, Stored, Sums, Taken, Tiles, blocks, blocks_by_cost, height, read,
};
use crate::coreset::span::{PROBES, spanning};
use crate::error::{Error, Result};
use crate::linalg::{Qr, condition_of_upper, cut_off, rank_of, svd, tsqr};
use crate::matrix::{
    Buffer, Dense, Mat, Matrix, Real, Rows, even_blocks, first_non_finite, keep_larger, power_of_two_below,
};
use crate::memory::{collected, copied, extend, push, resize, room_for, zeros};
use crate::parallel::Context;
use crate::simd::narrow::{Block, columns_of, subtract_product_of_columns};
use std::ops::Range;

/// A regression as the caller states it.
pub struct Problem<'a, T> {
    /// n x d
    pub matrix: Matrix<'a, T>,
    /// n
    pub target: &'a [T],
    /// One non-negative weight for every row, not all of them zero.
    pub weights: Option<&'a [f64]>,
    /// Adds a constant to the fit.
    pub fit_intercept: bool,
    /// What the sum of the magnitudes of the coefficients, but not of the intercept, is worth beside the objective.
    pub penalty: f64,
}

/// Rows times their factors.
pub(super) struct Design<'a, T> {
    matrix: Matrix<'a, T>,
    /// Factors of rows, the largest of them one.
    factors: Option<Vec<f64>>,
    fit_intercept: bool,
    /// The entry of a penalty's rows, of which there are two for each coefficient; none for zero.
    penalty: f64,
    /// What coefficients are made of, where columns are not as they come,
    map: Option<Mat<f64>>,
    /// and how many of its columns the rows see: A times any other is zero.
    seen: usize,
    target: Buffer<f64>,
    /// What columns of the matrix are less than they come, as the intercept makes up for it.
    shift: Vec<f64>,
    /// The rows of the matrix where they have few entries; none where they are read as tiles.
    sparse: Option<SparseRows<'a, T>>,
}

/// A design with its normal equations.
pub(super) struct Prepared<'a, T> {
    pub design: Design<'a, T>,
    /// Of A'A.
    pub normal: Normal,
    /// The solution of least squares.
    pub start: Vec<f64>,
    /// What targets have been divided by.
    pub unit: f64,
    /// What weights have been divided by.
    pub heaviest: f64,
    /// Sum of |b| and of the norms of columns: what rounding is relative to.
    pub scale: Scale,
}

/// Coefficients as the caller gets them.
pub(super) struct Returned {
    /// In the precision of the data,
    pub coefficients: Vec<f64>,
    /// and the constant.
    pub intercept: f64,
    /// Both beside the unit of the targets.
    pub x: Vec<f64>,
    /// Magnitudes of what each was added up from.
    pub sizes: Vec<f64>,
}

/// What the rounding of residuals is relative to.
pub(super) struct Scale {
    /// Sum of |b|.
    pub target: f64,
    /// Norms of the columns.
    pub columns: Vec<f64>,
}

impl Scale {
    /// No more than the p-norm of b, and the same for p = 1.
    pub fn size(&self, n: usize, p: f64) -> f64 {
        (n.max(1) as f64).powf(p.recip() - 1.0) * self.target
    }

    /// What rounding makes of the p-norm of a residual of n rows.
    pub fn rounding(&self, x: &[f64], n: usize, p: f64) -> f64 {
        let n = n.max(1) as f64;
        let products = x.iter().zip(&self.columns).map(|(x, norm)| x.abs() * norm).sum::<f64>();
        4.0 * f64::EPSILON * n.powf(p.recip()) * (self.target / n + products / n.sqrt())
    }
}

/// Diagonals of A'A within this and its reciprocal are what they should be.
const LARGEST_SQUARE: f64 = 1e200;
/// Means beside what columns have about them, from which on columns are centred.
const FAR: f64 = 8.0;
/// Condition of the triangle up to which a Gram matrix tells enough of its columns, and of combinations of them.
const WELL_CONDITIONED: f64 = 1e5;
const WELL_ENOUGH: f64 = 1e3;

impl<'a, T: Real> Prepared<'a, T> {
    /// Reads the rows once, or a few times where they are far from one or depend on each other. `power` is that of
    /// residuals; with a ridge there are coordinates of what rows do not see, too.
    pub fn new(context: &Context, problem: &Problem<'a, T>, power: f64, has_ridge: bool) -> Result<Self> {
        let (mut design, unit, heaviest) = Design::new(context, problem, power)?;
        let (mut gram, mut gradient, mut target) = design.products(context)?;
        if let Some(units) = design.units(context, &gram)? {
            (design.map, design.sparse) = (Some(units), None);
            (gram, gradient, target) = design.products(context)?;
        } else if design.centre(&gram)? {
            (gram, gradient, target) = design.products(context)?;
        }
        if !design.is_independent(&gram)? {
            if !design.leave_out(context, &gram, has_ridge)? {
                design.make_independent(context, &gram, has_ridge)?;
            }
            (gram, gradient, target) = design.products(context)?;
        }
        let normal = Normal::new(&gram)?;
        let normal = normal.ok_or_else(|| Error::Internal("independent columns without a factor".into()))?;
        let start = normal.solve(&gradient)?;
        let columns = collected((0..design.ncols()).map(|j| gram[(j, j)].sqrt()), PURPOSE)?;
        Ok(Self { design, normal, start, unit, heaviest, scale: Scale { target, columns } })
    }

    /// What the caller gets of x.
    pub fn returned(&self, x: &[f64]) -> Result<Returned> {
        let (mut all, intercept) = self.coefficients(x)?;
        if self.design.fit_intercept {
            push(&mut all, intercept, PURPOSE)?;
        }
        all.iter_mut().for_each(|x| *x = T::from_f64(*x).to_f64());
        let scaled = collected(all.iter().map(|x| x / self.unit), PURPOSE)?;
        let mut sizes = match &self.design.map {
            None => collected(scaled.iter().map(|x| x.abs()), PURPOSE)?,
            Some(map) => {
                let size = |i: usize| (0..x.len()).map(|j| (map[(i, j)] * x[j]).abs()).sum::<f64>();
                collected((0..map.nrows()).map(|i| size(i).max(scaled[i].abs())), PURPOSE)?
            }
        };
        let intercept = if self.design.fit_intercept { all.pop() } else { None };
        sizes[all.len()..]
            .iter_mut()
            .for_each(|size| *size += self.design.shifted(&scaled[..all.len()], f64::abs));
        Ok(Returned { coefficients: all, intercept: intercept.unwrap_or(0.0), x: scaled, sizes })
    }

    /// Whether coefficients are those of the design, to the bit.
    pub fn is_stated(&self, at: &Returned, x: &[f64]) -> bool {
        self.design.map.is_none() && self.design.shift.iter().all(|shift| *shift == 0.0) && at.x == x
    }

    /// The caller's own coefficients, of a fit without an intercept.
    pub fn stated(&self, x: &[f64]) -> Result<Returned> {
        let scaled = collected(x.iter().map(|x| x / self.unit), PURPOSE)?;
        let sizes = collected(scaled.iter().map(|x| x.abs()), PURPOSE)?;
        Ok(Returned { coefficients: copied(x, PURPOSE)?, intercept: 0.0, x: scaled, sizes })
    }

    /// A point of the design to begin at: these coefficients, or least squares where columns are mapped.
    pub fn near(&self, x: &[f64]) -> Result<Vec<f64>> {
        match &self.design.map {
            None => collected(x.iter().map(|x| x / self.unit), PURPOSE),
            Some(_) => copied(&self.start, PURPOSE),
        }
    }

    /// Coefficients and the intercept of the caller.
    pub fn coefficients(&self, x: &[f64]) -> Result<(Vec<f64>, f64)> {
        let mut x = match &self.design.map {
            None => collected(x.iter().map(|x| x * self.unit), PURPOSE)?,
            Some(map) => {
                let entry = |i: usize| (0..x.len()).map(|j| map[(i, j)] * x[j]).sum::<f64>() * self.unit;
                collected((0..map.nrows()).map(entry), PURPOSE)?
            }
        };
        let intercept = if self.design.fit_intercept { x.pop() } else { None };
        let intercept = intercept.map(|intercept| intercept - self.design.shifted(&x, |term| term));
        Ok((x, intercept.unwrap_or(0.0)))
    }
}

impl<'a, T: Real> Design<'a, T> {
    /// The rows, the unit of the targets and that of the weights.
    fn new(context: &Context, problem: &Problem<'a, T>, power: f64) -> Result<(Self, f64, f64)> {
        let (matrix, n) = (problem.matrix, problem.matrix.nrows());
        let heaviest = problem.weights.map_or(1.0, |weights| weights.iter().copied().fold(0.0, f64::max));
        let factor = |weight: f64| match (weight > 0.0, power) {
            (false, _) => 0.0,
            (true, 1.0) => weight / heaviest,
            (true, 2.0) => (weight / heaviest).sqrt(),
            (true, power) => (weight / heaviest).powf(power.recip()),
        };
        let factors =
            problem.weights.map(|weights| collected(weights.iter().map(|&w| factor(w)), "weights of rows"));
        let factors = factors.transpose()?;
        let penalty = problem.penalty / heaviest;
        let extra = if penalty > 0.0 { 2 * matrix.ncols() } else { 0 };
        let mut target = Buffer::zeros(n + extra, "the targets")?;
        let mut largest = 0.0;
        for rows in context.pieces(0..n) {
            for row in rows? {
                let value = problem.target[row].to_f64();
                if !value.is_finite() {
                    return Err(Error::non_finite("b", value, format!("[{row}]")));
                }
                target[row] = value;
                keep_larger(&mut largest, value.abs());
            }
        }
        let unit = power_of_two_below(largest);
        for (row, value) in target[..n].iter_mut().enumerate() {
            *value = *value / unit * factors.as_ref().map_or(1.0, |factors| factors[row]);
        }
        let shift = zeros(matrix.ncols(), PURPOSE)?;
        let fit_intercept = problem.fit_intercept;
        let sparse = SparseRows::new(context, &matrix, fit_intercept)?;
        let seen = matrix.ncols() + usize::from(fit_intercept);
        let design = Self { matrix, factors, fit_intercept, penalty, map: None, seen, target, shift, sparse };
        Ok((design, unit, heaviest))
    }

    /// Centres columns that are far from zero beside what they have about their means, and says whether any are.
    fn centre(&mut self, gram: &Mat<f64>) -> Result<bool> {
        let (d, mut is_moved) = (self.matrix.ncols(), false);
        if !self.fit_intercept {
            return Ok(false);
        }
        let rows = gram[(d, d)];
        for j in 0..d {
            let mean = gram[(j, d)] / rows;
            let of_mean = mean * mean * rows;
            if mean.is_finite() && of_mean > FAR * FAR * (gram[(j, j)] - of_mean) {
                self.shift[j] = mean;
                is_moved = true;
            }
        }
        if is_moved && let Some(sparse) = self.sparse.take() {
            self.sparse = sparse.centred(&self.shift, self.fit_intercept)?;
        }
        Ok(is_moved)
    }

    /// What some function of the shifts times coefficients adds up to.
    fn shifted(&self, x: &[f64], of: impl Fn(f64) -> f64) -> f64 {
        self.shift.iter().zip(x).map(|(shift, x)| of(shift * x)).sum()
    }

    /// Rows before those of a penalty.
    pub fn rows_of_data(&self) -> usize {
        self.matrix.nrows()
    }

    /// The factor of a row.
    pub fn factor(&self, row: usize) -> f64 {
        self.factors.as_ref().map_or(1.0, |factors| factors[row])
    }

    /// The same with rows times their factors once more.
    pub fn weighted_again(&self) -> Result<Design<'_, T>> {
        let mut target = Buffer::copy_of(&self.target, "the targets")?;
        let factors = self.factors.as_ref().map(|factors| {
            target.iter_mut().zip(factors).for_each(|(b, factor)| *b *= factor);
            collected(factors.iter().map(|factor| factor * factor), "weights of rows")
        });
        Ok(Design {
            matrix: self.matrix,
            factors: factors.transpose()?,
            fit_intercept: self.fit_intercept,
            penalty: self.penalty,
            map: self.map.as_ref().map(Mat::copy).transpose()?,
            seen: self.seen,
            target,
            shift: copied(&self.shift, PURPOSE)?,
            sparse: self.sparse.as_ref().map(SparseRows::again).transpose()?,
        })
    }

    /// The sum of the weights, of which factors are roots of this power.
    pub fn total_weight(&self, power: f64) -> f64 {
        let sum = |factors: &Vec<f64>| factors.iter().map(|factor| factor.powf(power)).sum();
        self.factors.as_ref().map_or(self.rows_of_data() as f64, sum)
    }

    /// The least factor that is not zero.
    pub fn least_factor(&self) -> f64 {
        let positive = self.factors.iter().flatten().copied().filter(|factor| *factor > 0.0);
        positive.fold(1.0, f64::min)
    }

    /// Products of the caller's coefficients, but for the intercept, with each other.
    pub fn coefficient_products(&self) -> Result<Mat<f64>> {
        let (d, order) = (self.matrix.ncols(), self.ncols());
        Mat::from_fn(order, order, |i, j| match &self.map {
            None => f64::from(i == j && i < d),
            Some(map) => (0..d).map(|k| map[(k, i)] * map[(k, j)]).sum(),
        })
    }

    /// Some rows one after the other, and their targets, all times their factors if there are any.
    pub fn gather(&self, context: &Context, rows: &[usize], factors: Option<&[f64]>) -> Result<Taken> {
        let factor = |at: usize| factors.map_or(1.0, |factors| factors[at]);
        let target = rows.iter().enumerate().map(|(at, &row)| self.target[row] * factor(at));
        let target = collected(target, PURPOSE)?;
        let stored = match &self.sparse {
            Some(sparse) => Stored::Few(self.gather_few(context, sparse, rows, factor)?),
            None => Stored::Dense(self.gather_all(context, rows, factor)?),
        };
        Ok(Taken::new(self.ncols(), stored, target))
    }

    fn gather_few(
        &self,
        context: &Context,
        sparse: &SparseRows<'_, T>,
        rows: &[usize],
        factor: impl Fn(usize) -> f64,
    ) -> Result<FewBuf> {
        let mut few = FewBuf::default();
        for piece in context.pieces(0..rows.len()) {
            for at in piece? {
                self.push_few(sparse, rows[at], false, &mut few)?;
                few.scale(factor(at));
                few.end()?;
            }
        }
        Ok(few)
    }

    fn gather_all(
        &self,
        context: &Context,
        rows: &[usize],
        factor: impl Fn(usize) -> f64 + Sync,
    ) -> Result<Vec<f64>> {
        let blocks = even_blocks(rows.len(), 1024)?;
        let parts = context.map_with(blocks.len(), Buffers::default, |buffers, block| {
            let mut entries = room_for(blocks[block].len() * self.ncols(), PURPOSE)?;
            for at in blocks[block].clone() {
                let (row, factor) = (rows[at], factor(at));
                match &self.matrix {
                    Matrix::Dense(a) if self.map.is_none() && row < a.nrows() => {
                        let own = self.factors.as_ref().map_or(1.0, |factors| factors[row]) * factor;
                        let centred = |j: usize| a.get(row, j).to_f64() - self.shift[j];
                        let entry = |j: usize| if own == 0.0 { 0.0 } else { centred(j) * own };
                        extend(&mut entries, (0..a.ncols()).map(entry), PURPOSE)?;
                        extend(&mut entries, self.fit_intercept.then_some(own), PURPOSE)?;
                    }
                    _ => {
                        let row = self.row(row, buffers)?;
                        extend(&mut entries, row.into_iter().map(|entry| entry * factor), PURPOSE)?;
                    }
                }
            }
            Ok(entries)
        })?;
        let mut entries = room_for(rows.len() * self.ncols(), PURPOSE)?;
        for part in parts {
            let part: Vec<f64> = part?;
            extend(&mut entries, part, PURPOSE)?;
        }
        Ok(entries)
    }

    /// Columns before they are mapped.
    pub fn width(&self) -> usize {
        self.matrix.ncols() + usize::from(self.fit_intercept)
    }

    /// A'A, A'b and the sum of |b|.
    pub fn products(&self, context: &Context) -> Result<(Mat<f64>, Vec<f64>, f64)> {
        let d = self.ncols();
        let begin = || Ok((Sums::new(d, true, 1)?, 0.0, Vec::new()));
        let parts = read(context, self, begin, |(sums, sum, b), tile| {
            tile.residual(&[], b)?;
            sums.add_rows(tile, b)?;
            *sum += tile.target.iter().map(|b| b.abs()).sum::<f64>();
            Ok(())
        })?;
        let (gram, mut vectors) = Sums::total(d, parts.iter().map(|(sums, ..)| sums))?;
        let target = parts.iter().map(|(_, sum, _)| sum).sum();
        Ok((gram, vectors.pop().unwrap_or_default(), target))
    }

    /// True if a factor of A'A tells all of the columns.
    fn is_independent(&self, gram: &Mat<f64>) -> Result<bool> {
        if (0..gram.nrows()).any(|j| gram[(j, j)] == 0.0) {
            return Ok(false);
        }
        let Some(normal) = Normal::new(gram)? else { return Ok(false) };
        Ok(condition_of_upper(normal.triangle().as_ref())? <= WELL_CONDITIONED)
    }

    /// Powers of two that bring columns to one, where squares of some are far from it, or the error that names what is not
    /// finite.
    fn units(&self, context: &Context, gram: &Mat<f64>) -> Result<Option<Mat<f64>>> {
        let is_plain = |j: usize| (LARGEST_SQUARE.recip()..=LARGEST_SQUARE).contains(&gram[(j, j)]);
        if (0..self.ncols()).all(is_plain) {
            return Ok(None);
        }
        if let Some((row, column, value)) = self.first_non_finite(context)? {
            return Err(Error::non_finite("A", value, format!("[{row}, {column}]")));
        }
        let d = self.ncols();
        let parts = read(
            context,
            self,
            || zeros::<f64>(d, PURPOSE),
            |largest, tile| {
                match tile.entries {
                    Entries::Columns(columns) => {
                        for (largest, column) in largest.iter_mut().zip(columns.chunks(tile.height)) {
                            column[..tile.rows.len()]
                                .iter()
                                .for_each(|value| keep_larger(largest, value.abs()));
                        }
                    }
                    Entries::Few(few) => few.iter().for_each(|(columns, values)| {
                        let entries = columns.iter().zip(values);
                        entries.for_each(|(&j, value)| keep_larger(&mut largest[j as usize], value.abs()));
                    }),
                }
                Ok(())
            },
        )?;
        let largest = |j: usize| parts.iter().map(|part| part[j]).fold(0.0, f64::max);
        if (0..d).all(|j| is_plain(j) || largest(j) == 0.0) {
            return Ok(None);
        }
        let unit = |j: usize| power_of_two_below(largest(j)).recip();
        Mat::from_fn(d, d, |i, j| if i == j { unit(j) } else { 0.0 }).map(Some)
    }

    /// Leaves out columns that others make, of sparse rows or where it `keeps_unseen` coordinates of combinations that no
    /// row sees in place of them, if it is beyond doubt that they do; says whether it has.
    fn leave_out(&mut self, context: &Context, gram: &Mat<f64>, keeps_unseen: bool) -> Result<bool> {
        let d = self.ncols();
        if !(self.is_few() || keeps_unseen && self.map.is_none()) || self.penalty > 0.0 {
            return Ok(false);
        }
        let units = T::UNIT_ROUNDOFF.min(f64::UNIT_ROUNDOFF);
        let tolerance = 4.0 * cut_off(self.nrows(), d, units);
        let look = |y: &Mat<f64>| self.images(context, y);
        let largest = if keeps_unseen { WELL_ENOUGH } else { WELL_CONDITIONED };
        let Some(found) = spanning(gram, largest, tolerance, look)? else { return Ok(false) };
        let unseen = if keeps_unseen { found.null()? } else { Mat::zeros(d, 0)? };
        let mut kept = found.columns;
        kept.sort_unstable();
        if let Some(sparse) = self.sparse.take() {
            self.sparse = Some(sparse.with_columns(&kept, d)?);
        }
        self.seen = kept.len();
        self.map =
            Some(Mat::from_fn(d, self.seen + unseen.ncols(), |i, j| match j.checked_sub(self.seen) {
                None => f64::from(i == kept[j]),
                Some(j) => unseen[(i, j)],
            })?);
        Ok(true)
    }

    /// Coordinates in which columns that depend on each other, or nearly, are orthonormal, and if so asked of what is
    /// orthogonal to them.
    fn make_independent(&mut self, context: &Context, gram: &Mat<f64>, keeps_unseen: bool) -> Result<()> {
        let d = self.ncols();
        let root = |j: usize| power_of_two_below(gram[(j, j)].sqrt()).recip();
        let mut r = tsqr(context, &AsRows(self))?;
        if !r.as_slice().iter().all(|value| value.is_finite()) {
            return Err(Error::Internal("a triangle that is not finite of columns that are".into()));
        }
        for j in 0..d {
            let root = root(j);
            r.col_mut(j).iter_mut().for_each(|value| *value *= root);
        }
        let found = svd(r.as_ref())?;
        let rank = rank_of(&found.s, cut_off(self.nrows(), d, T::UNIT_ROUNDOFF.min(f64::UNIT_ROUNDOFF)));
        let order = if keeps_unseen { d } else { rank };
        let mut all = Mat::from_fn(d, order, |i, j| f64::from(i == j))?;
        if order > rank {
            // Householder's Q has the complement of what it is of.
            Qr::new(Mat::from_fn(d, rank, |i, j| found.v[(i, j)])?)?.apply_q(&mut all)?;
        }
        for j in 0..rank {
            all.col_mut(j).iter_mut().zip(found.v.col(j)).for_each(|(all, v)| *all = v / found.s[j]);
        }
        for j in 0..order {
            all.col_mut(j).iter_mut().enumerate().for_each(|(i, value)| *value *= root(i));
        }
        let map = match &self.map {
            None => all,
            Some(map) => crate::linalg::product(map.as_ref(), all.as_ref())?,
        };
        (self.map, self.seen, self.sparse) = (Some(map), rank, None);
        Ok(())
    }

    fn first_non_finite(&self, context: &Context) -> Result<Option<(usize, usize, f64)>> {
        match &self.matrix {
            Matrix::Dense(a) => first_non_finite(context, a),
            Matrix::Sparse(a) => a.first_non_finite(context, None),
        }
    }

    /// Norms of A y and A'A y for a few y.
    fn images(&self, context: &Context, y: &Mat<f64>) -> Result<([f64; PROBES], Mat<f64>)> {
        let d = self.ncols();
        let begin = || Ok((Sums::new(d, false, PROBES)?, [0.0; PROBES], Vec::new()));
        let parts = read(context, self, begin, |(sums, squares, image), tile| {
            for (k, square) in squares.iter_mut().enumerate() {
                tile.change(y.col(k), image)?;
                *square += image.iter().map(|value| value * value).sum::<f64>();
                sums.add_vector(tile, k, image);
            }
            Ok(())
        })?;
        let norm = |k: usize| parts.iter().map(|(_, squares, _)| squares[k]).sum::<f64>().sqrt();
        let slopes = Sums::total(d, parts.iter().map(|(sums, ..)| sums))?.1;
        // Changes are what products are less.
        Ok((std::array::from_fn(norm), Mat::from_fn(d, PROBES, |j, k| -slopes[k][j])?))
    }

    /// Whether rows are given by their entries.
    pub fn is_few(&self) -> bool {
        self.sparse.is_some()
    }

    /// The entries of a row, as they were stated or as solvers see them.
    fn push_few(
        &self,
        sparse: &SparseRows<'_, T>,
        row: usize,
        is_stated: bool,
        few: &mut FewBuf,
    ) -> Result<()> {
        let (n, d) = (self.matrix.nrows(), self.matrix.ncols());
        if row >= n {
            let sign = if (row - n).is_multiple_of(2) { 1.0 } else { -1.0 };
            return few.push((row - n) / 2, sign * self.penalty);
        }
        let factor = self.factor(row);
        // Whatever the entries are.
        if factor == 0.0 {
            return Ok(());
        }
        sparse.push(row, (!is_stated).then_some(&self.shift), few)?;
        if self.fit_intercept {
            sparse.push_at(d, 1.0, !is_stated, few)?;
        }
        few.scale(factor);
        Ok(())
    }

    /// The entries of some rows, likewise.
    fn put_few<'b>(
        &self,
        sparse: &SparseRows<'_, T>,
        rows: Range<usize>,
        is_stated: bool,
        few: &'b mut FewBuf,
    ) -> Result<Entries<'b>> {
        few.clear();
        for row in rows {
            self.push_few(sparse, row, is_stated, few)?;
            few.end()?;
        }
        Ok(Entries::Few(few.all()))
    }

    /// Some rows as they were stated, `shift` being zeros.
    pub fn stated_entries<'b>(
        &'b self,
        rows: Range<usize>,
        shift: &[f64],
        buffers: &'b mut Buffers,
    ) -> Result<Entries<'b>> {
        if let Some(sparse) = &self.sparse {
            return self.put_few(sparse, rows, true, &mut buffers.few);
        }
        self.put_columns(rows, shift, buffers, height(self.width()))?;
        Ok(Entries::Columns(&buffers.columns))
    }

    /// Columns of some rows, [`height`] numbers from one to the next.
    fn columns<'b>(&'b self, rows: Range<usize>, buffers: &'b mut Buffers) -> Result<&'b [f64]> {
        let (height, depth) = (height(self.ncols()), rows.len().next_multiple_of(8));
        self.put_columns(rows, &self.shift, buffers, height)?;
        let Some(map) = &self.map else { return Ok(&buffers.columns) };
        buffers.mapped.clear();
        resize(&mut buffers.mapped, map.ncols() * height, 0.0, PURPOSE)?;
        let mut coefficients = zeros(map.nrows(), PURPOSE)?;
        for (j, column) in buffers.mapped.chunks_exact_mut(height).enumerate().take(self.seen) {
            coefficients.iter_mut().zip(map.col(j)).for_each(|(c, value)| *c = -value);
            subtract_product_of_columns(&buffers.columns, height, &coefficients, &mut column[..depth]);
        }
        Ok(&buffers.mapped)
    }

    /// Columns of the matrix less their shifts, of the intercept, in a buffer.
    fn put_columns(
        &self,
        rows: Range<usize>,
        shift: &[f64],
        buffers: &mut Buffers,
        height: usize,
    ) -> Result<()> {
        let (d, n, width) = (self.matrix.ncols(), self.matrix.nrows(), self.width());
        resize(&mut buffers.columns, width * height, 0.0, PURPOSE)?;
        let columns = &mut buffers.columns[..width * height];
        if rows.start >= n {
            columns.fill(0.0);
            for (k, row) in rows.enumerate() {
                let (j, sign) = ((row - n) / 2, if (row - n).is_multiple_of(2) { 1.0 } else { -1.0 });
                columns[j * height + k] = sign * self.penalty;
            }
            return Ok(());
        }
        let factors = self.factors.as_ref().map(|factors| &factors[rows.clone()]);
        let (of_matrix, of_intercept) = columns.split_at_mut(d * height);
        match &self.matrix {
            Matrix::Dense(a) => {
                put(a.rows(rows.clone()), shift, factors, of_matrix, height);
            }
            Matrix::Sparse(a) => {
                put(a.tile(rows.clone(), 0..d, &mut buffers.rows)?, shift, factors, of_matrix, height);
            }
        }
        if self.fit_intercept {
            let (column, below) = of_intercept.split_at_mut(rows.len());
            match factors {
                Some(factors) => column.copy_from_slice(factors),
                None => column.fill(1.0),
            }
            let below = below.len().min(rows.len().next_multiple_of(8) - rows.len());
            of_intercept[rows.len()..][..below].fill(0.0);
        }
        // Whatever the entries are.
        for row in factors.into_iter().flatten().enumerate().filter(|(_, factor)| **factor == 0.0) {
            columns.iter_mut().skip(row.0).step_by(height).for_each(|entry| *entry = 0.0);
        }
        Ok(())
    }
}

/// Columns of rows times their factors.
fn put<E: Real>(rows: Dense<'_, E>, shift: &[f64], factors: Option<&[f64]>, tile: &mut [f64], height: usize) {
    let shape = (rows.nrows(), rows.ncols());
    let strides = (rows.row_stride(), rows.col_stride());
    if shape.1 > 0 {
        columns_of(Block { data: rows.data(), shape, strides }, shift, factors, tile, height);
    }
}

impl<T: Real> Tiles for Design<'_, T> {
    fn nrows(&self) -> usize {
        self.target.len()
    }

    fn ncols(&self) -> usize {
        self.map.as_ref().map_or_else(|| self.width(), Mat::ncols)
    }

    fn target(&self) -> &[f64] {
        &self.target
    }

    fn entries<'b>(&'b self, rows: Range<usize>, buffers: &'b mut Buffers) -> Result<Entries<'b>> {
        match &self.sparse {
            Some(sparse) => self.put_few(sparse, rows, false, &mut buffers.few),
            None => Ok(Entries::Columns(self.columns(rows, buffers)?)),
        }
    }

    fn idle(&self) -> usize {
        self.factors.as_ref().map_or(0, |factors| factors.iter().filter(|factor| **factor == 0.0).count())
    }

    /// The rows of a penalty are blocks of their own.
    fn blocks(&self) -> Result<Vec<Range<usize>>> {
        let (n, d) = (self.matrix.nrows(), self.ncols());
        let mut all = match &self.sparse {
            Some(sparse) => blocks_by_cost(n, d, sparse.cost())?,
            None => blocks(n, d)?,
        };
        for rows in blocks(self.nrows() - n, d)? {
            push(&mut all, n + rows.start..n + rows.end, PURPOSE)?;
        }
        Ok(all)
    }
}

/// A design as rows, for what reads those.
struct AsRows<'d, 'a, T>(&'d Design<'a, T>);

impl<T: Real> Rows for AsRows<'_, '_, T> {
    fn nrows(&self) -> usize {
        self.0.nrows()
    }

    fn ncols(&self) -> usize {
        self.0.ncols()
    }

    fn tile<'b>(
        &'b self,
        rows: Range<usize>,
        cols: Range<usize>,
        buffer: &'b mut Vec<f64>,
    ) -> Result<Dense<'b, f64>> {
        let (design, width) = (self.0, cols.len());
        let (n, height) = (design.matrix.nrows(), height(design.ncols()));
        buffer.clear();
        resize(buffer, rows.len() * width, 0.0, PURPOSE)?;
        let (mut buffers, mut start) = (Buffers::default(), rows.start);
        while start < rows.end {
            let end = if start < n { n.min(rows.end) } else { rows.end };
            let part = start..end.min(start + height);
            let columns = design.columns(part.clone(), &mut buffers)?;
            for (k, row) in part.clone().enumerate() {
                let out = &mut buffer[(row - rows.start) * width..][..width];
                out.iter_mut().zip(cols.clone()).for_each(|(out, j)| *out = columns[j * height + k]);
            }
            start = part.end;
        }
        Ok(Dense::row_major(buffer, rows.len(), width))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Instance, prepared};
    use super::*;

    #[test]
    fn rows_have_their_factors_an_intercept_and_a_penalty() {
        let instance = Instance::new(700, 3, 1);
        for sparse in [false, true] {
            let problem = instance.full(sparse);
            let prepared = prepared(&problem, 1.0);
            let (design, mut buffers) = (&prepared.design, Buffers::default());
            assert_eq!((design.nrows(), design.ncols(), prepared.heaviest), (706, 4, 4.5));
            for row in [0, 3, 64, 699] {
                let found = design.row(row, &mut buffers).unwrap();
                let factor = instance.weights[row] / 4.5;
                let expected = instance.rows[3 * row..][..3].iter().chain(&[1.0]).map(|a| a * factor);
                assert!(found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-15));
                let target = instance.target[row] * factor / prepared.unit;
                assert!((design.target()[row] - target).abs() < 1e-15);
            }
            let penalty = 7.0 / 4.5;
            assert_eq!(design.row(700, &mut buffers).unwrap(), [penalty, 0.0, 0.0, 0.0]);
            assert_eq!(design.row(705, &mut buffers).unwrap(), [0.0, 0.0, -penalty, 0.0]);
            let context = Context::new(2);
            let taken = design.gather(&context, &[3, 699, 704], Some(&[1.0, 2.0, 0.5])).unwrap();
            let taken = super::super::tiles::Gathered::new(&context, taken).unwrap();
            let row = design.row(699, &mut buffers).unwrap();
            let found = taken.row(1, &mut buffers).unwrap();
            assert!(found.iter().zip(row).all(|(found, entry)| *found == 2.0 * entry));
            assert_eq!((taken.row(2, &mut buffers).unwrap()[2], taken.target()[2]), (0.5 * penalty, 0.0));
            assert_eq!(design.blocks().unwrap().last().unwrap().end, 706);
        }
    }

    #[test]
    fn columns_that_depend_on_others_are_mapped_and_coefficients_are_the_callers() {
        let n = 400;
        let rows: Vec<f64> = (0..n)
            .flat_map(|i| {
                let x = (i as f64).sin();
                [x, 2.0 * x, 1e-180 * (i as f64).cos(), 0.0]
            })
            .collect();
        let target: Vec<f64> =
            (0..n).map(|i| 3.0 * (i as f64).sin() + 1e180 * 1e-180 * (i as f64).cos()).collect();
        let matrix = Matrix::Dense(Dense::row_major(&rows, n, 4));
        let problem = Problem { matrix, target: &target, weights: None, fit_intercept: false, penalty: 0.0 };
        let prepared = prepared(&problem, 1.0);
        assert_eq!(prepared.design.ncols(), 2);
        let (x, intercept) = prepared.coefficients(&prepared.start).unwrap();
        assert_eq!(intercept, 0.0);
        assert!((x[0] + 2.0 * x[1] - 3.0).abs() < 1e-9, "{x:?}");
        assert!((x[2] * 1e-180 - 1.0).abs() < 1e-9 && x[3] == 0.0, "{x:?}");
    }
}
