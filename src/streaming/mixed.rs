//! Block power and the truncated SVD side by side, of the same light rows.
//!
//! Each is right where the other errs. Before a chunk is taken in, both say how much energy their first k directions have in
//! its rows; the past weighs 1 - 1/(number of the chunk), so that all of it counts but the early chunks, whose directions
//! were not yet what they are. What has more energy in the end goes into the answer.

use crate::error::Result;
use crate::parallel::Context;
use crate::streaming::block_power::BlockPower;
use crate::streaming::incremental::Incremental;
use crate::streaming::numbers::Numbers;
use crate::streaming::order::{Ahead, Rates};
use crate::streaming::params::{Algorithm, Params, Plan};
use crate::streaming::rows::Chunk;
use serde::{Deserialize, Serialize};

/// Either or both.
#[derive(Serialize, Deserialize)]
pub struct Mixed {
    block_power: Option<BlockPower>,
    incremental: Option<Incremental>,
    chunks: u64,
    /// Energy that each had in rows before it took them in.
    scores: [f64; 2],
    rows: u64,
}

/// Rows of a first block, alone and beside a truncated SVD.
const FIRST_BLOCK: [u64; 2] = [256, 64];

impl Mixed {
    /// No rows yet.
    pub fn new(context: &Context, params: &Params, plan: &Plan) -> Result<Self> {
        let Plan { algorithm, d, width, .. } = *plan;
        let first = FIRST_BLOCK[usize::from(algorithm == Algorithm::Mixed)];
        let block_power = (algorithm != Algorithm::Incremental)
            .then(|| BlockPower::new(context, (d, width, params.k), first, params.seed))
            .transpose()?;
        let incremental =
            (algorithm != Algorithm::BlockPower).then(|| Incremental::new(d, width, params.k)).transpose()?;
        Ok(Self { block_power, incremental, chunks: 0, scores: [0.0; 2], rows: 0 })
    }

    /// An independent copy, as an error-returning `clone`.
    pub fn copy(&self) -> Result<Self> {
        Ok(Self {
            block_power: self.block_power.as_ref().map(BlockPower::copy).transpose()?,
            incremental: self.incremental.as_ref().map(Incremental::copy).transpose()?,
            ..*self
        })
    }

    /// True of what such a stream may have.
    pub fn fits(&self, params: &Params, plan: &Plan) -> bool {
        let Plan { algorithm, d, width, .. } = *plan;
        let sound = |score: &f64| *score >= 0.0 && score.is_finite();
        self.scores.iter().all(sound)
            && self.block_power.is_some() == (algorithm != Algorithm::Incremental)
            && self.incremental.is_some() == (algorithm != Algorithm::BlockPower)
            && self.block_power.as_ref().is_none_or(|own| own.fits((d, width, params.k), params.seed))
            && self.incremental.as_ref().is_none_or(|own| own.fits(d, width, params.k))
    }

    /// Takes light rows in.
    pub fn absorb(&mut self, context: &Context, chunk: &Chunk<'_>) -> Result<()> {
        let block_power = self.block_power.as_mut().map_or(Ok(0.0), |own| own.absorb(context, chunk))?;
        let incremental = self.incremental.as_mut().map_or(Ok(0.0), |own| own.absorb(chunk))?;
        self.chunks += 1;
        self.rows += chunk.len() as u64;
        let past = 1.0 - 1.0 / self.chunks as f64;
        for (score, energy) in self.scores.iter_mut().zip([block_power, incremental]) {
            *score = past * *score + energy;
        }
        Ok(())
    }

    /// Takes in another one.
    pub fn merge(&mut self, context: &Context, other: &Self) -> Result<()> {
        if let (Some(own), Some(other)) = (&mut self.block_power, &other.block_power) {
            own.merge(context, other)?;
        }
        if let (Some(own), Some(other)) = (&mut self.incremental, &other.incremental) {
            own.merge(other)?;
        }
        self.scores.iter_mut().zip(other.scores).for_each(|(own, other)| *own += other);
        self.chunks += other.chunks;
        self.rows += other.rows;
        Ok(())
    }

    /// Starts, in place of no rows, with what d x 1 says of so many.
    pub fn begin_with(&mut self, context: &Context, factor: &[f64], rows: u64) -> Result<()> {
        self.rows = rows;
        self.block_power.as_mut().map_or(Ok(()), |own| own.begin_with(context, factor, rows))
    }

    /// Closes what is open.
    pub fn finish(&mut self, context: &Context) -> Result<()> {
        self.block_power.as_mut().map_or(Ok(()), |own| own.finish(context))
    }

    /// True if the answer is block power's.
    pub fn takes_block_power(&self) -> bool {
        self.block_power.is_some() && (self.incremental.is_none() || self.scores[0] > self.scores[1])
    }

    /// L, d x r, whose L L' stands for the Gram matrix of all light rows, and r.
    pub fn factor(&self) -> Result<(Numbers, usize)> {
        match (&self.block_power, &self.incremental) {
            (Some(block_power), _) if self.takes_block_power() => block_power.factor(),
            (_, Some(incremental)) => incremental.factor(),
            (_, None) => Ok((Numbers::zeros(0)?, 0)),
        }
    }

    /// A direction, and what the rows say of it that it is not made of.
    pub fn ahead(&self) -> Result<Option<Ahead>> {
        let Some(block_power) = &self.block_power else { return Ok(None) };
        let Some(rate) = block_power.rates().last() else { return Ok(None) };
        Ok(Some(Ahead { direction: block_power.direction()?, rate, light: self.rows }))
    }

    /// What rows said of directions that they were not made of.
    pub fn rates(&self) -> Option<&Rates> {
        self.block_power.as_ref().map(BlockPower::rates)
    }

    /// Numbers of the state.
    pub fn size(&self) -> usize {
        self.block_power.as_ref().map_or(0, BlockPower::size)
            + self.incremental.as_ref().map_or(0, Incremental::size)
    }

    /// In another unit: rows times `factor`, a power of two.
    pub fn scale(&mut self, factor: f64) {
        if let Some(own) = &mut self.block_power {
            own.scale(factor);
        }
        if let Some(own) = &mut self.incremental {
            own.scale(factor);
        }
        self.scores.iter_mut().for_each(|score| *score *= factor * factor);
    }
}
