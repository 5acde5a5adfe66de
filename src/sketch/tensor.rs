//! The subsampled Hadamard transform of a Kronecker product, one factor at a time.
//!
//! For two factors, row k of S is the Kronecker product of row i_k of H D and row j_k of H D', over sqrt(m): D and
//! D' are random signs, H is the Hadamard matrix of the next power of two, and the m pairs (i, j) are independent
//! and uniform. With more factors the pairs form a balanced binary tree: S x is the map of m x m entries above
//! applied to what the maps of the two halves make of them, so that no intermediate result has more than m rows to
//! a half.
//!
//! | given | cost |
//! |---|---|
//! | the factors of A | a transform of each, and m times the number of columns of A |
//! | any x of all rows | a transform along every axis of x |

use super::long::{BLOCK, LONG, loaded_and_transformed};
use super::tiles::all_finite;
use crate::error::{Error, Result};
use crate::matrix::{Buffer, Dense, Mat, Rows, first_non_finite};
use crate::memory::{collected, copied, extend, gathered, prepare, push, resize, room_for, zeros};
use crate::parallel::Context;
use crate::random::Stream;
use crate::simd::fwht;
use std::ops::Range;

/// Purposes of the streams.
const SIGNS: u8 = 6;
const PICKS: u8 = 7;

/// Columns that are transformed at a time.
const STRIP: usize = 8;

/// An m x (n_1 ... n_q) matrix for Kronecker products, as a value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TensorSrht {
    m: usize,
    dims: Vec<usize>,
    seed: u64,
}

impl TensorSrht {
    /// The operator for factors with `dims` rows.
    pub fn new(m: usize, dims: Vec<usize>, seed: u64) -> Result<Self> {
        if m == 0 || m >= 1 << 31 {
            return Err(Error::value("m", m, "in [1, 2^31)"));
        }
        let rows = dims.iter().try_fold(1usize, |product, &rows| product.checked_mul(rows));
        if dims.is_empty() || rows.is_none_or(|rows| rows == 0 || rows > 1 << 60) {
            return Err(Error::value(
                "dims",
                format!("{dims:?}"),
                "positive numbers, their product at most 2^60",
            ));
        }
        Ok(Self { m, dims, seed })
    }

    /// Number of rows of S.
    pub fn m(&self) -> usize {
        self.m
    }

    /// Rows of the factors; their product is the number of columns of S.
    pub fn dims(&self) -> &[usize] {
        &self.dims
    }

    /// The seed of everything that is random in S.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// `S (A_1 (x) ... (x) A_q)`, from the factors alone. Refuses entries that are not finite.
    pub fn apply_factors(&self, context: &Context, factors: &[&dyn Rows]) -> Result<Mat<f64>> {
        let rows = collected(factors.iter().map(|factor| factor.nrows()), "a sketch")?;
        if rows != self.dims {
            return Err(Error::shape("factors", format!("{rows:?} rows"), format!("{:?}", self.dims)));
        }
        let one = Mat::<f64>::identity(1)?;
        let one = one.as_ref();
        let tree = self.tree(context)?;
        let product = match factors {
            [factor] => tree.of_factors(context, &[*factor, &one])?,
            _ => tree.of_factors(context, factors)?,
        };
        if !all_finite(product.as_slice()) {
            for (f, factor) in factors.iter().enumerate() {
                if let Some((i, j, value)) = first_non_finite(context, *factor)? {
                    return Err(Error::non_finite("factors", value, format!("[{f}][{i}, {j}]")));
                }
            }
        }
        Ok(product)
    }

    /// `S X` for X of n_1 ... n_q rows and p columns, given as the n_1 x (n_2 ... n_q p) matrix that it is in C
    /// order. Refuses entries that are not finite.
    pub fn apply(&self, context: &Context, x: &dyn Rows) -> Result<Mat<f64>> {
        let rows: usize = self.dims.iter().product();
        let p = x.nrows() * x.ncols() / rows;
        if x.nrows() != self.dims[0] || p * rows != x.nrows() * x.ncols() {
            let found = format!("{} entries", x.nrows() * x.ncols());
            return Err(Error::shape("A", found, format!("a multiple of {rows}")));
        }
        let y = self.tree(context)?.of_tensor(context, x)?;
        if !all_finite(&y)
            && let Some((i, j, value)) = first_non_finite(context, x)?
        {
            let entry = i * x.ncols() + j;
            return Err(Error::non_finite("A", value, format!("[{}, {}]", entry / p, entry % p)));
        }
        Mat::from_fn(self.m, p, |k, column| y[k * p + column])
    }

    fn tree(&self, context: &Context) -> Result<Pair> {
        let dims = if self.dims.len() == 1 { &[self.dims[0], 1] } else { &self.dims[..] };
        Pair::new(context, self.m, dims, self.seed, &mut 0)
    }
}

/// A map of two factors, each of which may itself be what a map below makes of several.
struct Pair {
    left: Side,
    right: Side,
    m: usize,
    /// (i, j) for every row.
    picks: Vec<(usize, usize)>,
}

struct Side {
    /// Rows of the factors below.
    dims: Vec<usize>,
    below: Option<Box<Pair>>,
    /// One for each row that is transformed.
    signs: Vec<f64>,
}

/// Steps of a serial loop after which somebody may interrupt.
const TICKING: u64 = 1 << 16;

/// One random bit each, 32 to a word of row `row`.
fn signs(context: &Context, stream: Stream, row: u64, count: usize) -> Result<Vec<f64>> {
    let mut words = zeros(count.div_ceil(32), "a sketch")?;
    stream.words_of_row(row, &mut words);
    let mut signs = room_for(count, "a sketch")?;
    for (k, word) in words.into_iter().enumerate() {
        if (k as u64).is_multiple_of(TICKING) {
            context.tick()?;
        }
        let bits = (count - 32 * k).min(32);
        let of_word = (0..bits).map(|bit| f64::from(1 - 2 * (word >> bit & 1) as i32));
        extend(&mut signs, of_word, "a sketch")?;
    }
    Ok(signs)
}

impl Pair {
    /// `number` counts the maps of the tree, in the order in which they are made.
    fn new(context: &Context, m: usize, dims: &[usize], seed: u64, number: &mut u32) -> Result<Self> {
        let stream = |purpose| Stream::new(seed, *number, purpose);
        let (of_signs, of_picks) = (stream(SIGNS), stream(PICKS));
        *number += 1;
        let (left, right) = dims.split_at(dims.len().div_ceil(2));
        let mut side = |dims: &[usize], row| {
            let below = if dims.len() > 1 {
                Some(Box::new(Self::new(context, m, dims, seed, number)?))
            } else {
                None
            };
            let rows = if below.is_some() { m } else { dims[0] };
            Ok(Side { dims: copied(dims, "a sketch")?, below, signs: signs(context, of_signs, row, rows)? })
        };
        let (left, right) = (side(left, 0)?, side(right, 1)?);
        let index = |row: u64, side: &Side| of_picks.index(row, side.padded() as u64) as usize;
        let mut picks = room_for(m, "a sketch")?;
        for k in 0..m as u64 {
            if k.is_multiple_of(TICKING) {
                context.tick()?;
            }
            push(&mut picks, (index(2 * k, &left), index(2 * k + 1, &right)), "a sketch")?;
        }
        Ok(Self { left, right, m, picks })
    }

    fn scale(&self) -> f64 {
        (self.m as f64).sqrt().recip()
    }

    fn of_factors(&self, context: &Context, factors: &[&dyn Rows]) -> Result<Mat<f64>> {
        let (left, right) = factors.split_at(self.left.dims.len());
        let rows = collected(self.picks.iter().map(|pick| pick.0), "a sketch")?;
        let left = self.left.of_factors(context, left, &rows)?;
        let rows = collected(self.picks.iter().map(|pick| pick.1), "a sketch")?;
        let right = self.right.of_factors(context, right, &rows)?;
        let mut product = Mat::zeros(self.m, left.ncols() * right.ncols())?;
        let parts = product.as_mut_slice().chunks_mut(self.m * right.ncols());
        context.map_parts(
            parts,
            || (),
            |(), column, part| {
                for (j, part) in part.chunks_mut(self.m).enumerate() {
                    let pairs = left.col(column).iter().zip(right.col(j));
                    part.iter_mut().zip(pairs).for_each(|(out, (l, r))| *out = self.scale() * l * r);
                }
            },
        )?;
        Ok(product)
    }

    /// What the map makes of a tensor whose first axes are those of its factors: m x the rest, row-major.
    ///
    /// The first axis is transformed, of which only the rows that are sampled stay, and moved to the end; then the
    /// second is at the front.
    fn of_tensor(&self, context: &Context, x: &dyn Rows) -> Result<Buffer<f64>> {
        let mut sampled = collected(self.picks.iter().map(|pick| pick.0), "a sketch")?;
        sampled.sort_unstable();
        sampled.dedup();
        let halfway = match &self.left.below {
            None => self.left.select(context, x, &sampled)?,
            Some(below) => {
                let y = below.of_tensor(context, x)?;
                self.left.select(context, &Dense::row_major(&y, self.m, y.len() / self.m), &sampled)?
            }
        };
        let first = self.right.dims[0];
        let x = Dense::row_major(&halfway, first, halfway.len() / first);
        match &self.right.below {
            None => self.finish(context, &x, &sampled),
            Some(below) => {
                let y = below.of_tensor(context, &x)?;
                self.finish(context, &Dense::row_major(&y, self.m, y.len() / self.m), &sampled)
            }
        }
    }

    /// Transforms the second axis and samples the pairs; the first axis is innermost in the columns of `x`.
    fn finish(&self, context: &Context, x: &dyn Rows, sampled: &[usize]) -> Result<Buffer<f64>> {
        let rest = x.ncols() / sampled.len();
        let mut pairs_of = zeros::<Vec<_>>(sampled.len(), "a sketch")?;
        for (k, &(i, j)) in self.picks.iter().enumerate() {
            if let Ok(place) = sampled.binary_search(&i) {
                push(&mut pairs_of[place], (k, j), "a sketch")?;
            }
        }
        let strips = std::iter::repeat_n((), x.ncols().div_ceil(STRIP));
        let picked = self.right.transformed(context, x, strips, |(), cols, tile| {
            let width = cols.len();
            let of_column =
                |c: usize| pairs_of[(cols.start + c) % sampled.len()].iter().map(move |&(_, j)| (c, j));
            collected((0..width).flat_map(of_column).map(|(c, j)| tile[j * width + c]), "a sketch")
        })?;
        let mut y = Buffer::zeros(self.m * rest, "a sketch")?;
        let mut values = picked.into_iter().flatten();
        for column in 0..x.ncols() {
            for &(k, _) in &pairs_of[column % sampled.len()] {
                y[k * rest + column / sampled.len()] = self.scale() * values.next().unwrap_or(f64::NAN);
            }
        }
        Ok(y)
    }
}

impl Side {
    /// Length of the transform.
    fn padded(&self) -> usize {
        self.signs.len().next_power_of_two()
    }

    /// Some rows of H D times what is below.
    fn of_factors(&self, context: &Context, factors: &[&dyn Rows], rows: &[usize]) -> Result<Mat<f64>> {
        match &self.below {
            None => self.gather(context, factors[0], rows),
            Some(below) => self.gather(context, &below.of_factors(context, factors)?.as_ref(), rows),
        }
    }

    /// Some rows of H D X, in any order.
    fn gather(&self, context: &Context, x: &dyn Rows, rows: &[usize]) -> Result<Mat<f64>> {
        let mut gathered = Mat::zeros(rows.len(), x.ncols())?;
        let parts = gathered.as_mut_slice().chunks_mut(STRIP * rows.len());
        self.transformed(context, x, parts, |part: &mut [f64], cols, tile| {
            for (c, column) in part.chunks_mut(rows.len()).enumerate() {
                column.iter_mut().zip(rows).for_each(|(out, &i)| *out = tile[i * cols.len() + c]);
            }
            Ok(())
        })?;
        Ok(gathered)
    }

    /// The transpose of some rows of H D X, row-major.
    fn select(&self, context: &Context, x: &dyn Rows, rows: &[usize]) -> Result<Buffer<f64>> {
        let mut selected = Buffer::zeros(x.ncols() * rows.len(), "a sketch")?;
        let parts = selected.chunks_mut(STRIP * rows.len());
        self.transformed(context, x, parts, |part: &mut [f64], cols, tile| {
            for (c, out) in part.chunks_mut(rows.len()).enumerate() {
                out.iter_mut().zip(rows).for_each(|(out, &i)| *out = tile[i * cols.len() + c]);
            }
            Ok(())
        })?;
        Ok(selected)
    }

    /// Hands every strip of columns of H D X, row-major, on to `take` with its part.
    fn transformed<P: Send, R: Send>(
        &self,
        context: &Context,
        x: &dyn Rows,
        parts: impl IntoIterator<Item = P>,
        take: impl Fn(P, Range<usize>, &[f64]) -> Result<R> + Sync,
    ) -> Result<Vec<R>> {
        if self.padded() * x.ncols().min(STRIP) > LONG {
            return self.transformed_one_by_one(context, x, parts, take);
        }
        let taken =
            context.map_parts(parts, Default::default, |scratch: &mut [Vec<f64>; 2], strip, part| {
                let [rows, tile] = scratch;
                let cols = strip * STRIP..x.ncols().min((strip + 1) * STRIP);
                prepare(tile, self.padded() * cols.len(), "a sketch")?;
                let block = x.tile(0..x.nrows(), cols.clone(), rows)?;
                for (i, sign) in self.signs.iter().enumerate() {
                    let row = block.stored_row(i);
                    extend(tile, row.iter().map(|value| sign * value), "a sketch")?;
                }
                resize(tile, self.padded() * cols.len(), 0.0, "a sketch")?;
                fwht(tile, self.padded(), cols.len());
                take(part, cols, tile)
            })?;
        gathered(taken, "a sketch")
    }

    /// The same for long columns: all threads work on one strip.
    fn transformed_one_by_one<P, R>(
        &self,
        context: &Context,
        x: &dyn Rows,
        parts: impl IntoIterator<Item = P>,
        take: impl Fn(P, Range<usize>, &[f64]) -> Result<R>,
    ) -> Result<Vec<R>> {
        let mut taken = room_for(x.ncols().div_ceil(STRIP), "a sketch")?;
        for (strip, part) in parts.into_iter().enumerate() {
            let cols = strip * STRIP..x.ncols().min((strip + 1) * STRIP);
            let width = cols.len();
            let mut tile = Buffer::zeros(self.padded() * width, "a sketch")?;
            loaded_and_transformed(context, &mut tile, width, |buffer, first, out| {
                let rows = first.min(x.nrows())..x.nrows().min(first + BLOCK);
                prepare(buffer, rows.len() * width, "a sketch")?;
                let block = x.tile(rows.clone(), cols.clone(), buffer)?;
                for ((i, sign), out) in self.signs[rows].iter().enumerate().zip(out.chunks_exact_mut(width)) {
                    let row = block.stored_row(i);
                    out.iter_mut().zip(row).for_each(|(out, value)| *out = sign * value);
                }
                Ok(())
            })?;
            push(&mut taken, take(part, cols, &tile)?, "a sketch")?;
        }
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kron(a: &Mat<f64>, b: &Mat<f64>) -> Mat<f64> {
        let (p, q) = (b.nrows(), b.ncols());
        Mat::from_fn(a.nrows() * p, a.ncols() * q, |i, j| a[(i / p, j / q)] * b[(i % p, j % q)]).unwrap()
    }

    fn factor(n: usize, d: usize, seed: u64) -> Mat<f64> {
        let stream = Stream::new(seed, 0, 0);
        Mat::from_fn(n, d, |i, j| stream.normal(i as u64, j as u64)).unwrap()
    }

    /// X as the n_1 x rest matrix of its C order.
    fn folded(x: &Mat<f64>, first: usize) -> Vec<f64> {
        assert!(x.nrows().is_multiple_of(first));
        (0..x.nrows()).flat_map(|i| (0..x.ncols()).map(move |j| x[(i, j)])).collect()
    }

    #[test]
    fn factors_and_formed_products_have_one_sketch() {
        for dims in [vec![5], vec![4, 7], vec![3, 1, 6], vec![2, 5, 3, 4], vec![2, 3, 2, 3, 2]] {
            let factors: Vec<_> =
                dims.iter().zip(0..).map(|(&n, seed)| factor(n, 1 + seed as usize % 2, seed)).collect();
            let formed = factors[1..].iter().fold(factors[0].copy().unwrap(), |a, b| kron(&a, b));
            let views: Vec<_> = factors.iter().map(Mat::as_ref).collect();
            let rows: Vec<&dyn Rows> = views.iter().map(|view| view as &dyn Rows).collect();
            for threads in [1, 3] {
                let context = Context::new(threads);
                let sketch = TensorSrht::new(11, dims.clone(), 5).unwrap();
                let by_factors = sketch.apply_factors(&context, &rows).unwrap();
                let memory = folded(&formed, dims[0]);
                let x = Dense::row_major(&memory, dims[0], memory.len() / dims[0]);
                let whole = sketch.apply(&context, &x).unwrap();
                assert_eq!((whole.nrows(), whole.ncols()), (11, formed.ncols()));
                let pairs = by_factors.as_slice().iter().zip(whole.as_slice());
                assert!(pairs.clone().all(|(l, r)| (l - r).abs() < 1e-12 * (1.0 + l.abs())), "{dims:?}");
                assert!(by_factors.as_slice().iter().any(|v| *v != 0.0));
            }
        }
    }

    #[test]
    fn squared_lengths_are_right_on_average() {
        let dims = vec![3, 4, 5];
        let x = factor(60, 1, 9);
        let memory = folded(&x, 3);
        let squares = |seed| {
            let sketch = TensorSrht::new(16, dims.clone(), seed).unwrap();
            let y = sketch.apply(&Context::new(1), &Dense::row_major(&memory, 3, 20)).unwrap();
            crate::simd::norm_sq(y.as_slice()) / crate::simd::norm_sq(x.as_slice())
        };
        let draws: Vec<f64> = (0..400).map(squares).collect();
        let mean = draws.iter().sum::<f64>() / 400.0;
        let variance = draws.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 400.0;
        assert!((mean - 1.0).abs() < 5.0 * (variance / 400.0).sqrt(), "{mean}");
        assert!(variance > 0.0);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        assert!(TensorSrht::new(0, vec![2], 0).is_err());
        assert!(TensorSrht::new(1, vec![], 0).is_err());
        assert!(TensorSrht::new(1, vec![2, 0], 0).is_err());
        assert!(TensorSrht::new(1, vec![1 << 40, 1 << 40], 0).is_err());
        let sketch = TensorSrht::new(4, vec![2, 3], 0).unwrap();
        let bad = [1.0, 2.0, 3.0, f64::NAN, 5.0, 6.0];
        let found = sketch.apply(&Context::new(1), &Dense::row_major(&bad, 2, 3)).err();
        assert_eq!(found, Some(Error::non_finite("A", f64::NAN, "[3, 0]")));
    }
}
