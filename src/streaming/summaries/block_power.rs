//! Blocks of the stream as steps of the power method (Kacham and Woodruff 2024; Mitliagkas, Caramanis and Jain 2013).
//!
//! In random order a block of light rows has, up to its number of rows, the Gram matrix of all of them. With Q fixed it
//! gives S = Q A'A, and from S and Q the block's Nystrom summary; what it leads to is compared with the history W, which is
//! forgotten as far as it points elsewhere: while directions still change, early blocks would only hold them back. But once
//! they agree, a block of a few long rows does not wipe out a history that still has half of its energy in that block.
//!
//! | symbol | what |
//! |---|---|
//! | Q, S, W | b x d, rows: directions, Q A'A of the open block, b directions of the past times their singular values |
//! | m, f | rows of the open block, and the sum of their squared norms |
//! | mass | rows that W stands for |
//! | θ | per row, what each direction of Q had in the last block, which it is not made of, less two standard errors |
//! | u | the first of Q; rows that came after it was made and did not stay heavy are a random share of all light ones |

use crate::error::Result;
use crate::memory::zeros;
use crate::parallel::Context;
use crate::random::Stream as Random;
use crate::simd::{axpy, dot, widen};
use crate::streaming::rows::chunk::{Chunk, LATER, Precision, Room};
use crate::streaming::rows::order::{Ahead, Rate, Rates};
use crate::streaming::small::combinations::{best_of_both, combine, inner, leading_pairs, orthonormal_rows};
use crate::streaming::small::numbers::{Directions, Numbers};
use serde::{Deserialize, Serialize};

/// What memory is for.
const PRODUCTS: &str = "products of rows";
/// Purpose of the random numbers.
const START: u8 = 0x60;
/// What W and a block must have in common, squared, for a block to go on where W points.
const AGREED: f64 = 0.8;
/// How much longer each block is than the one before, until directions agree and from then on.
const GROWTH: [f64; 2] = [1.25, 1.5];
/// A share of a block's energy that Q has not seen.
const UNSEEN: f64 = 1e-14;
/// Eigenvalues of the Nystrom core that are told from zero, for rows in double and in single precision.
const SEEN: [f64; 2] = [1e-12, 1e-6];

/// The summary of light rows.
#[derive(Serialize, Deserialize)]
pub struct BlockPower {
    b: usize,
    k: usize,
    d: usize,
    /// Whether rows are in single precision.
    single: bool,
    seed: u64,
    q: Directions,
    s: Numbers,
    w: Numbers,
    /// Rows that a block wants.
    block: u64,
    rows: u64,
    energy: f64,
    mass: f64,
    total: u64,
    /// Sums over the open block of <x, q>^2 and of <x, q>^4 for each q of Q.
    squares: Numbers,
    fourths: Numbers,
    /// θ, descending.
    lasting: Numbers,
    /// Whether the first direction is the one that it was in the block before.
    steady: bool,
    /// Whether W holds anything, and whether the last block pointed where it does.
    formed: bool,
    agreed: bool,
    /// u of the block before, if it was steady; rounded, which any direction may be.
    former: Numbers<f32>,
    /// How many rows came before the first of the block before and of the open one; none yet.
    since: [Option<u64>; 2],
    /// The largest squared norm of a light row.
    most: f64,
    /// How often Q was drawn.
    draws: u64,
    rates: Rates,
}

impl BlockPower {
    /// No rows yet: `b` directions of `d` numbers, the first `k` of which are wanted, and a first block of `block` rows.
    pub fn new(
        context: &Context,
        (d, b, k): (usize, usize, usize),
        single: bool,
        block: u64,
        seed: u64,
    ) -> Result<Self> {
        let b = b.min(d);
        let none = || Numbers::zeros(d * b);
        let mut new = Self {
            b,
            k: k.min(b),
            d,
            single,
            seed,
            q: Directions::new(none()?, false)?,
            s: none()?,
            w: none()?,
            block,
            rows: 0,
            energy: 0.0,
            mass: 0.0,
            total: 0,
            squares: Numbers::zeros(b)?,
            fourths: Numbers::zeros(b)?,
            lasting: Numbers::zeros(b)?,
            steady: false,
            formed: false,
            agreed: false,
            former: Numbers::zeros(0)?,
            since: [None; 2],
            most: 0.0,
            draws: 0,
            rates: Rates::default(),
        };
        new.draw(context)?;
        Ok(new)
    }

    /// An independent copy, as an error-returning `clone`.
    pub fn copy(&self) -> Result<Self> {
        Ok(Self {
            q: self.q.copy()?,
            s: self.s.copy()?,
            w: self.w.copy()?,
            squares: self.squares.copy()?,
            fourths: self.fourths.copy()?,
            lasting: self.lasting.copy()?,
            former: self.former.copy()?,
            rates: self.rates.copy()?,
            ..*self
        })
    }

    /// True of what a stream of `d` columns may have.
    pub fn fits(&self, (d, b, k): (usize, usize, usize), single: bool, seed: u64) -> bool {
        let b = b.min(d);
        (self.b, self.k, self.d, self.seed) == (b, k.min(b), d, seed)
            && [self.q.is_single(), self.single] == [single; 2]
            && [self.q.len(), self.s.len(), self.w.len()] == [d * b; 3]
            && self.block > 0
            && [&self.squares, &self.fourths, &self.lasting].iter().all(|numbers| numbers.len() == b)
            && [0, d].contains(&self.former.len())
            && [self.energy, self.mass, self.most].iter().all(|number| *number >= 0.0 && number.is_finite())
            && self.rates.fits()
    }

    /// Another Q, at random.
    fn draw(&mut self, context: &Context) -> Result<()> {
        let random = Random::new(self.seed, 0, START);
        let mut start = Numbers::zeros(self.b * self.d)?;
        for (j, row) in start.chunks_exact_mut(self.d.max(1)).enumerate() {
            random.normals_of_row(self.draws * self.b as u64 + j as u64, row);
        }
        self.draws += 1;
        self.turn_to(context, &start)
    }

    /// Q spans what these rows do.
    fn turn_to(&mut self, context: &Context, rows: &[f64]) -> Result<()> {
        self.q = Directions::new(orthonormal_rows(context, rows, self.b)?, self.single)?;
        Ok(())
    }

    /// Takes rows in; the energy that the first k directions have in them.
    pub fn absorb<T: Precision>(
        &mut self,
        context: &Context,
        chunk: &Chunk<'_, T>,
        room: &mut Room<T>,
    ) -> Result<f64> {
        let mut y = zeros(chunk.len() * self.b, PRODUCTS)?;
        chunk.along(T::of(&self.q), &mut y);
        chunk.add_to(&mut self.s, &y, room)?;
        self.count_in(context, chunk, &y)
    }

    /// The same with what rows are along Q, and what they make S more.
    pub fn absorb_made<T: Precision>(
        &mut self,
        context: &Context,
        chunk: &Chunk<'_, T>,
        along: &[f64],
        sums: &[T],
    ) -> Result<f64> {
        axpy(1.0, sums, &mut self.s);
        self.count_in(context, chunk, along)
    }

    /// Q, and the rows that the open block still wants.
    pub fn directions(&self) -> Result<(Directions, u64)> {
        Ok((self.q.copy()?, self.block - self.rows))
    }

    /// Counts rows that S has, which are `y` along Q, and ends the block if these were its last; the energy that the first k
    /// directions have in them.
    fn count_in<T: Precision>(&mut self, context: &Context, chunk: &Chunk<'_, T>, y: &[f64]) -> Result<f64> {
        let (b, mut wanted) = (self.b, 0.0);
        if self.since[1].is_none() && chunk.first < LATER {
            self.since[1] = Some(chunk.first);
        }
        for (i, (row, norm_sq)) in y.chunks_exact(b).zip(chunk.norms).enumerate() {
            let sums = self.squares.iter_mut().zip(self.fourths.iter_mut());
            for ((squares, fourths), along) in sums.zip(row) {
                let square = along * along;
                *squares += square;
                *fourths += square * square;
            }
            wanted += row[..self.k].iter().map(|along| along * along).sum::<f64>();
            self.energy += norm_sq;
            self.most = self.most.max(*norm_sq);
            self.rate(chunk, i, row[0])?;
        }
        self.rows += chunk.len() as u64;
        self.total += chunk.len() as u64;
        if self.rows >= self.block {
            self.close(context)?;
        }
        Ok(wanted)
    }

    /// Counts what u, or the one before it, has in a row that came after it. One that came before and was heavy until now is
    /// no random one.
    fn rate<T: Precision>(&mut self, chunk: &Chunk<'_, T>, i: usize, along: f64) -> Result<()> {
        let (number, [before, now]) = (chunk.number(i), self.since);
        let after = |since: Option<u64>| since.is_some_and(|since| since <= number && number < LATER);
        if after(now) {
            if self.steady {
                self.rates.add(along * along);
            }
        } else if after(before) && !self.former.is_empty() {
            let (mut row, mut former) = (Numbers::zeros(self.d)?, Numbers::zeros(self.d)?);
            chunk.write_row(i, &mut row);
            widen(&self.former, &mut former);
            self.rates.add_to_last(dot(&row, &former).powi(2));
        }
        Ok(())
    }

    /// Ends the open block.
    fn close(&mut self, context: &Context) -> Result<()> {
        self.rates.close()?;
        self.since = [self.since[1], None];
        self.former = if self.steady { rounded(&self.direction()?)? } else { Numbers::zeros(0)? };
        let (rows, energy) = (std::mem::take(&mut self.rows), std::mem::take(&mut self.energy));
        let (b, first) = (self.b, self.squares[0]);
        self.count(rows);
        let core = inner(&self.q.widened(0..b * self.d)?, &self.s, self.d)?;
        let trace: f64 = (0..b).map(|j| core[j * b + j]).sum();
        if trace <= UNSEEN * energy || trace <= 0.0 {
            // Nothing was seen through Q, as happens with rows along the axes.
            self.s.fill(0.0);
            self.mass += rows as f64;
            self.steady = false;
            self.rates.turn();
            return self.draw(context);
        }
        let new = self.nystrom(&core)?;
        self.s.fill(0.0);
        let (mut overlap, norm_sq) = self.overlap(&new)?;
        if overlap < AGREED && self.agreed && 2.0 * first / rows as f64 * self.mass >= norm_sq {
            overlap = 1.0;
        }
        let was_formed = std::mem::replace(&mut self.formed, true);
        self.agreed = overlap >= AGREED;
        self.remember(&new, overlap * overlap)?;
        self.mass = overlap * overlap * self.mass + rows as f64;
        let former = self.direction()?;
        let towards = if self.agreed { self.w.copy()? } else { new };
        self.turn_to(context, &towards)?;
        self.steady = was_formed && dot(&former, &self.direction()?).powi(2) >= AGREED;
        if !self.steady {
            self.rates.turn();
        }
        self.block = (self.block as f64 * GROWTH[usize::from(self.agreed)]).ceil() as u64;
        Ok(())
    }

    /// Ends the sums of so many rows.
    fn count(&mut self, rows: u64) {
        let rows = rows as f64;
        for j in 0..self.b {
            let mean = self.squares[j] / rows;
            let variance = (self.fourths[j] / rows - mean * mean).max(0.0);
            self.lasting[j] = (mean - 2.0 * (variance / rows).sqrt()).max(0.0);
        }
        self.lasting.sort_by(|a, b| b.total_cmp(a));
        self.squares.fill(0.0);
        self.fourths.fill(0.0);
    }

    /// The block's summary: N, with rows s_k u_k and N'N = S'(S Q')^+ S.
    fn nystrom(&self, core: &[f64]) -> Result<Numbers> {
        let b = self.b;
        let (values, mut vectors) = leading_pairs(core, b, b)?;
        for at in 0..b * b {
            vectors[at] /= values[at % b].max(self.seen() * values[0]).sqrt();
        }
        let mut half = Numbers::zeros(self.s.len())?;
        combine(&vectors, &self.s, self.d, &mut half, false);
        let (_, turn) = leading_pairs(&inner(&half, &half, self.d)?, b, b)?;
        let mut new = Numbers::zeros(self.s.len())?;
        combine(&turn, &half, self.d, &mut new, false);
        Ok(new)
    }

    fn seen(&self) -> f64 {
        SEEN[usize::from(self.single)]
    }

    /// The smallest squared cosine between the first k directions of W and of a block, zero without a W; and the square of
    /// the first row of W.
    fn overlap(&self, new: &[f64]) -> Result<(f64, f64)> {
        let b = self.b;
        let [old, new_sq] = [inner(&self.w, &self.w, self.d)?, inner(new, new, self.d)?];
        // Directions that the rows do not have cannot disagree.
        let has = |gram: &[f64], j: usize| gram[j * b + j] > self.seen() * gram[0];
        let k = (0..self.k).take_while(|&j| j == 0 || has(&old, j) || has(&new_sq, j)).count();
        let between = inner(&self.w, new, self.d)?;
        let cosine = |i: usize, j: usize| {
            let norms = (old[i * b + i] * new_sq[j * b + j]).sqrt();
            if norms > 0.0 { between[i * b + j] / norms } else { 0.0 }
        };
        let mut squares = zeros(k * k, "a small matrix")?;
        for at in 0..k * k {
            squares[at] = (0..k).map(|i| cosine(i, at / k) * cosine(i, at % k)).sum();
        }
        Ok((leading_pairs(&squares, k, k)?.0[k - 1].clamp(0.0, 1.0), old[0]))
    }

    /// W becomes the best b directions of `keep` W'W + N'N.
    fn remember(&mut self, new: &[f64], keep: f64) -> Result<()> {
        self.w.scale(keep.sqrt());
        self.w = best_of_both(&self.w, new, self.b)?.1;
        Ok(())
    }

    /// Takes in another one: what each of them says of its rows.
    pub fn merge(&mut self, context: &Context, other: &Self) -> Result<()> {
        let mut other = other.copy()?;
        self.finish(context)?;
        other.finish(context)?;
        let new = other.factor()?;
        let overlap = self.overlap(&new)?.0;
        self.w = self.factor()?;
        self.remember(&new, 1.0)?;
        self.total += other.total;
        self.most = self.most.max(other.most);
        self.block = self.block.max(other.block);
        self.formed |= other.formed;
        self.agreed = self.agreed && other.agreed && overlap >= AGREED;
        self.start_block(context)
    }

    /// Starts, in place of no rows, with what one row says of so many.
    pub fn begin_with(&mut self, context: &Context, factor: &[f64], rows: u64) -> Result<()> {
        self.w[..factor.len()].copy_from_slice(factor);
        (self.formed, self.total) = (rows > 0, rows);
        self.start_block(context)
    }

    /// W stands for all rows, and the next block goes on where it points.
    fn start_block(&mut self, context: &Context) -> Result<()> {
        // They are of rows of one part only.
        self.rates.close()?;
        self.rates.turn();
        self.since = [None; 2];
        self.former = Numbers::zeros(0)?;
        self.mass = self.total as f64;
        self.s.fill(0.0);
        (self.rows, self.energy) = (0, 0.0);
        self.squares.fill(0.0);
        self.fourths.fill(0.0);
        if self.formed {
            let towards = self.w.copy()?;
            self.turn_to(context, &towards)?;
        }
        Ok(())
    }

    /// Closes the open block if it agrees with W, or if there is no better one; one that is so short that it points anywhere
    /// would wipe W out.
    pub fn finish(&mut self, context: &Context) -> Result<()> {
        if self.rows == 0 {
            return Ok(());
        }
        let mut closed = self.copy()?;
        closed.close(context)?;
        if !self.formed || closed.agreed || (!self.agreed && 2 * self.rows >= self.block) {
            *self = closed;
        }
        Ok(())
    }

    /// L, b x d, whose L'L stands for the Gram matrix of all light rows. Directions that still change have more in the rows
    /// that they are made of than in others: they stand for what the last block surely had in its own, lest heavy rows lose
    /// to noise.
    pub fn factor(&self) -> Result<Numbers> {
        let (b, d, total) = (self.b, self.d, self.total as f64);
        let mut factor = self.w.copy()?;
        let squares = inner(&self.w, &self.w, d)?;
        for (j, row) in factor.chunks_exact_mut(d.max(1)).enumerate() {
            let (square, most) = (squares[j * b + j], total / self.mass.max(1.0));
            let stretch = if self.agreed || square == 0.0 { most } else { total * self.lasting[j] / square };
            let root = stretch.clamp(1.0, most.max(1.0)).sqrt();
            row.iter_mut().for_each(|number| *number *= root);
        }
        Ok(factor)
    }

    /// The first of Q.
    fn direction(&self) -> Result<Numbers> {
        self.q.widened(0..self.d)
    }

    /// u, or the one before it, whichever more rows came after, and what those say of it.
    pub fn ahead(&self) -> Result<Option<Ahead>> {
        let (light, most) = (self.total, self.most);
        let rows = |rate: &Option<Rate>| rate.map_or(0, |rate| rate.rows);
        let [open, closed] = self.rates.last();
        let (rate, direction) = if self.former.is_empty() || rows(&open) >= rows(&closed) {
            (open, self.direction()?)
        } else {
            let mut former = Numbers::zeros(self.d)?;
            widen(&self.former, &mut former);
            (closed, former)
        };
        Ok(rate.map(|rate| Ahead { direction, rate, light, most }))
    }

    /// What the rows said of the directions that they were not made of.
    pub fn rates(&self) -> &Rates {
        &self.rates
    }

    /// Numbers of the state.
    pub fn size(&self) -> usize {
        self.q.size() + self.s.len() + self.w.len() + self.former.len().div_ceil(2)
    }

    /// In another unit: rows times `factor`, a power of two.
    pub fn scale(&mut self, factor: f64) {
        self.w.scale(factor);
        self.s.scale(factor * factor);
        self.energy *= factor * factor;
        self.most *= factor * factor;
        self.squares.scale(factor.powi(2));
        self.lasting.scale(factor.powi(2));
        self.fourths.scale(factor.powi(4));
        self.rates.scale(factor);
    }
}

fn rounded(numbers: &[f64]) -> Result<Numbers<f32>> {
    let mut rounded = Numbers::zeros(numbers.len())?;
    rounded.iter_mut().zip(numbers).for_each(|(to, from)| *to = *from as f32);
    Ok(rounded)
}
