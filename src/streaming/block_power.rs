//! Blocks of the stream as steps of the power method (Kacham and Woodruff 2024; Mitliagkas, Caramanis and Jain 2013).
//!
//! In random order a block of light rows has, up to its number of rows, the Gram matrix of all of them. With Q fixed it
//! gives S = A'A Q, and from S and Q the block's Nystrom summary; what it leads to is compared with the history W, which is
//! forgotten as far as it points elsewhere: while directions still change, early blocks would only hold them back. But once
//! they agree, a block of a few long rows does not wipe out a history that still has half of its energy in that block.
//!
//! | symbol | what |
//! |---|---|
//! | Q, S, W | d x b: directions, A'A Q of the open block, b directions of the past times their singular values |
//! | m, f | rows of the open block, and the sum of their squared norms |
//! | mass | rows that W stands for |
//! | θ | per row, what each column of Q had in the last block, which it is not made of, less two standard errors |

use crate::error::Result;
use crate::memory::zeros;
use crate::parallel::Context;
use crate::random::Stream as Random;
use crate::simd::{add_outer, dot, small_product};
use crate::streaming::numbers::Numbers;
use crate::streaming::order::Rates;
use crate::streaming::rows::Chunk;
use crate::streaming::tall::{best_of_both, inner, leading_pairs, orthonormal_columns, times};
use serde::{Deserialize, Serialize};

/// Purpose of the random numbers.
const START: u8 = 0x60;
/// What W and a block must have in common, squared, for a block to go on where W points.
const AGREED: f64 = 0.8;
/// How much longer each block is than the one before, until directions agree and from then on.
const GROWTH: [f64; 2] = [1.25, 1.5];
/// A share of a block's energy that Q has not seen.
const UNSEEN: f64 = 1e-14;
/// Eigenvalues of the Nystrom core that are told from zero.
const SEEN: f64 = 1e-12;

/// The summary of light rows.
#[derive(Serialize, Deserialize)]
pub struct BlockPower {
    b: usize,
    k: usize,
    seed: u64,
    q: Numbers,
    s: Numbers,
    w: Numbers,
    /// Rows that a block wants.
    block: u64,
    rows: u64,
    energy: f64,
    mass: f64,
    total: u64,
    /// Sums over the open block of <x, q>^2 and of <x, q>^4 for each column q of Q.
    squares: Numbers,
    fourths: Numbers,
    /// θ, descending.
    lasting: Numbers,
    /// Whether the first direction is the one that it was in the block before.
    steady: bool,
    /// Whether W holds anything, and whether the last block pointed where it does.
    formed: bool,
    agreed: bool,
    /// How often Q was drawn.
    draws: u64,
    rates: Rates,
}

impl BlockPower {
    /// No rows yet: `b` directions of `d` numbers, the first `k` of which are wanted, and a first block of `block` rows.
    pub fn new(context: &Context, (d, b, k): (usize, usize, usize), block: u64, seed: u64) -> Result<Self> {
        let b = b.min(d);
        let none = || Numbers::zeros(d * b);
        let mut new = Self {
            b,
            k: k.min(b),
            seed,
            q: none()?,
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
            rates: self.rates.copy()?,
            ..*self
        })
    }

    /// True of what a stream of `d` columns may have.
    pub fn fits(&self, (d, b, k): (usize, usize, usize), seed: u64) -> bool {
        let b = b.min(d);
        (self.b, self.k, self.seed) == (b, k.min(b), seed)
            && [&self.q, &self.s, &self.w].iter().all(|numbers| numbers.len() == d * b)
            && self.block > 0
            && [&self.squares, &self.fourths, &self.lasting].iter().all(|numbers| numbers.len() == b)
            && [self.energy, self.mass].iter().all(|number| *number >= 0.0 && number.is_finite())
            && self.rates.fits()
    }

    /// Another Q, at random.
    fn draw(&mut self, context: &Context) -> Result<()> {
        let random = Random::new(self.seed, 0, START);
        let d = self.q.len() / self.b.max(1);
        for k in 0..d {
            let row = self.draws * d as u64 + k as u64;
            random.normals_of_row(row, &mut self.q[k * self.b..][..self.b]);
        }
        self.draws += 1;
        self.q = orthonormal_columns(context, &self.q, self.b)?;
        Ok(())
    }

    /// Takes rows in; the energy that the first k directions have in them.
    pub fn absorb(&mut self, context: &Context, chunk: &Chunk<'_>) -> Result<f64> {
        let (m, b, d) = (chunk.len(), self.b, chunk.rows.ncols());
        let (x, stride) = chunk.strided();
        let mut y = zeros(m * b, "products of rows")?;
        small_product((m, b, d), x, (stride, 1), &self.q, &mut y, false);
        add_outer(x, stride, &y, b, &mut self.s);
        let mut wanted = 0.0;
        for (row, norm_sq) in y.chunks_exact(b).zip(chunk.norms) {
            for (j, along) in row.iter().enumerate() {
                self.squares[j] += along * along;
                self.fourths[j] += along.powi(4);
            }
            wanted += row[..self.k].iter().map(|along| along * along).sum::<f64>();
            self.energy += norm_sq;
            if self.steady {
                self.rates.add(row[0] * row[0]);
            }
        }
        self.rows += m as u64;
        self.total += m as u64;
        if self.rows >= self.block {
            self.close(context)?;
        }
        Ok(wanted)
    }

    /// Ends the open block.
    fn close(&mut self, context: &Context) -> Result<()> {
        self.rates.close()?;
        let (rows, energy) = (std::mem::take(&mut self.rows), std::mem::take(&mut self.energy));
        let (b, first) = (self.b, self.squares[0]);
        self.count(rows);
        let core = inner(&self.q, b, &self.s, b)?;
        let trace: f64 = (0..b).map(|j| core[j * b + j]).sum();
        if trace <= UNSEEN * energy || trace <= 0.0 {
            // Nothing was seen through Q, as happens with rows along the axes.
            self.s.fill(0.0);
            self.mass += rows as f64;
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
        self.q = orthonormal_columns(context, if self.agreed { &self.w } else { &new }, b)?;
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

    /// The block's summary: N, d x b, with columns s_k u_k and N N' = S (Q'S)^+ S'.
    fn nystrom(&self, core: &[f64]) -> Result<Numbers> {
        let b = self.b;
        let (values, mut vectors) = leading_pairs(core, b, b)?;
        for at in 0..b * b {
            vectors[at] /= values[at % b].max(SEEN * values[0]).sqrt();
        }
        let mut half = Numbers::zeros(self.s.len())?;
        times(&self.s, b, &vectors, b, &mut half, false);
        let (_, turn) = leading_pairs(&inner(&half, b, &half, b)?, b, b)?;
        let mut new = Numbers::zeros(self.s.len())?;
        times(&half, b, &turn, b, &mut new, false);
        Ok(new)
    }

    /// The smallest squared cosine between the first k directions of W and of a block, zero without a W; and the square of
    /// the first column of W.
    fn overlap(&self, new: &[f64]) -> Result<(f64, f64)> {
        let b = self.b;
        let [old, new_sq] = [inner(&self.w, b, &self.w, b)?, inner(new, b, new, b)?];
        // Directions that the rows do not have cannot disagree.
        let has = |gram: &[f64], j: usize| gram[j * b + j] > SEEN * gram[0];
        let k = (0..self.k).take_while(|&j| j == 0 || has(&old, j) || has(&new_sq, j)).count();
        let between = inner(&self.w, b, new, b)?;
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

    /// W becomes the best b directions of `keep` W W' + N N'.
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
        let new = other.factor()?.0;
        let overlap = self.overlap(&new)?.0;
        self.w = self.factor()?.0;
        self.remember(&new, 1.0)?;
        self.total += other.total;
        self.block = self.block.max(other.block);
        self.formed |= other.formed;
        self.agreed = self.agreed && other.agreed && overlap >= AGREED;
        self.start_block(context)
    }

    /// Starts, in place of no rows, with what d x 1 says of so many.
    pub fn begin_with(&mut self, context: &Context, factor: &[f64], rows: u64) -> Result<()> {
        let b = self.b;
        self.w.iter_mut().step_by(b).zip(factor).for_each(|(to, from)| *to = *from);
        (self.formed, self.total) = (rows > 0, rows);
        self.start_block(context)
    }

    /// W stands for all rows, and the next block goes on where it points.
    fn start_block(&mut self, context: &Context) -> Result<()> {
        // They are of rows of one part only.
        self.rates.close()?;
        self.rates.turn();
        self.mass = self.total as f64;
        self.s.fill(0.0);
        (self.rows, self.energy) = (0, 0.0);
        self.squares.fill(0.0);
        self.fourths.fill(0.0);
        if self.formed {
            self.q = orthonormal_columns(context, &self.w, self.b)?;
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

    /// L, d x b, whose L L' stands for the Gram matrix of all light rows, and how many columns it has. Directions that still
    /// change have more in the rows that they are made of than in others: they stand for what the last block surely had in
    /// its own, lest heavy rows lose to noise.
    pub fn factor(&self) -> Result<(Numbers, usize)> {
        let (b, total) = (self.b, self.total as f64);
        let mut factor = self.w.copy()?;
        let squares = inner(&self.w, b, &self.w, b)?;
        for j in 0..b {
            let (square, most) = (squares[j * b + j], total / self.mass.max(1.0));
            let stretch = if self.agreed || square == 0.0 { most } else { total * self.lasting[j] / square };
            let root = stretch.clamp(1.0, most.max(1.0)).sqrt();
            factor.iter_mut().skip(j).step_by(b).for_each(|number| *number *= root);
        }
        Ok((factor, b))
    }

    /// The first column of Q.
    pub fn direction(&self) -> Result<Numbers> {
        let mut direction = Numbers::zeros(self.q.len() / self.b.max(1))?;
        direction.iter_mut().zip(self.q.iter().step_by(self.b.max(1))).for_each(|(to, from)| *to = *from);
        Ok(direction)
    }

    /// What the rows said of the directions that they were not made of.
    pub fn rates(&self) -> &Rates {
        &self.rates
    }

    /// Numbers of the state.
    pub fn size(&self) -> usize {
        3 * self.q.len()
    }

    /// In another unit: rows times `factor`, a power of two.
    pub fn scale(&mut self, factor: f64) {
        self.w.scale(factor);
        self.s.scale(factor * factor);
        self.energy *= factor * factor;
        self.squares.scale(factor.powi(2));
        self.lasting.scale(factor.powi(2));
        self.fourths.scale(factor.powi(4));
        self.rates.scale(factor);
    }
}
