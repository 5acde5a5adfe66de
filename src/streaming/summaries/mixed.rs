//! Block power and the truncated SVD side by side, of the same light rows.
//!
//! Each is right where the other errs. Before a chunk is taken in, both say how much energy their first k directions have in
//! its rows; the past weighs 1 - 1/(number of the chunk), so that all of it counts but the early chunks, whose directions
//! were not yet what they are. What has more energy in the end goes into the answer.

use crate::error::Result;
use crate::memory::{gathered, zeros};
use crate::parallel::Context;
use crate::streaming::params::{Algorithm, Params, Plan};
use crate::streaming::rows::chunk::{Chunk, Precision, Room};
use crate::streaming::rows::order::{Ahead, Rates};
use crate::streaming::small::numbers::Numbers;
use crate::streaming::summaries::block_power::BlockPower;
use crate::streaming::summaries::incremental::Incremental;
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

/// What memory is for.
const ENERGIES: &str = "energies of chunks";

/// One of the two.
enum Part<'p> {
    BlockPower(&'p mut BlockPower),
    Incremental(&'p mut Incremental),
}

/// Rows of a first block, alone and beside a truncated SVD.
const FIRST_BLOCK: [u64; 2] = [256, 64];

impl Mixed {
    /// No rows yet.
    pub fn new(context: &Context, params: &Params, plan: &Plan) -> Result<Self> {
        let Plan { algorithm, d, width, .. } = *plan;
        let first = FIRST_BLOCK[usize::from(algorithm == Algorithm::Mixed)];
        let block_power = (algorithm != Algorithm::Incremental)
            .then(|| BlockPower::new(context, (d, width, params.k), params.single, first, params.seed))
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
            && self
                .block_power
                .as_ref()
                .is_none_or(|own| own.fits((d, width, params.k), params.single, params.seed))
            && self.incremental.as_ref().is_none_or(|own| own.fits(d, width, params.k))
    }

    /// Takes light rows in.
    pub fn absorb<T: Precision>(
        &mut self,
        context: &Context,
        chunk: &Chunk<'_, T>,
        room: &mut Room<T>,
    ) -> Result<()> {
        let block_power =
            self.block_power.as_mut().map_or(Ok(0.0), |own| own.absorb(context, chunk, room))?;
        // What is ahead was asked for.
        let chunk = Chunk { ahead: if self.block_power.is_some() { 0 } else { chunk.ahead }, ..*chunk };
        let incremental = self.incremental.as_mut().map_or(Ok(0.0), |own| own.absorb(&chunk, room))?;
        self.score(chunk.len(), [block_power, incremental]);
        Ok(())
    }

    /// Takes chunks in, one after the other, on all threads: block power alone on all, both on one each, but for the products
    /// of rows with each other.
    pub fn absorb_many<T: Precision>(&mut self, context: &Context, chunks: &[Chunk<'_, T>]) -> Result<()> {
        let none = || zeros(chunks.len(), ENERGIES);
        let energies = match (&mut self.block_power, &mut self.incremental) {
            (Some(own), None) => [own.absorb_many(context, chunks)?, none()?],
            (None, None) => [none()?, none()?],
            (None, Some(own)) => {
                let grams = grams_of(context, chunks)?;
                [none()?, energies_of::<T>(Part::Incremental(own), chunks, &grams, &mut Room::default())?]
            }
            (Some(block_power), Some(incremental)) => {
                let grams = grams_of(context, chunks)?;
                let parts = [Part::BlockPower(block_power), Part::Incremental(incremental)];
                let work = |room: &mut Room<T>, _, part: Part<'_>| energies_of(part, chunks, &grams, room);
                let mut found = context.map_parts(parts, Room::default, work)?.into_iter();
                [found.next().unwrap_or_else(none)?, found.next().unwrap_or_else(none)?]
            }
        };
        for (c, chunk) in chunks.iter().enumerate() {
            self.score(chunk.len(), [energies[0][c], energies[1][c]]);
        }
        Ok(())
    }

    fn score(&mut self, rows: usize, energies: [f64; 2]) {
        self.chunks += 1;
        self.rows += rows as u64;
        let past = 1.0 - 1.0 / self.chunks as f64;
        self.scores.iter_mut().zip(energies).for_each(|(score, energy)| *score = past * *score + energy);
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

    /// Starts, in place of no rows, with what one row says of so many.
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

    /// L, r x d, whose L'L stands for the Gram matrix of all light rows.
    pub fn factor(&self) -> Result<Numbers> {
        match (&self.block_power, &self.incremental) {
            (Some(block_power), _) if self.takes_block_power() => block_power.factor(),
            (_, Some(incremental)) => incremental.factor(),
            (_, None) => Numbers::zeros(0),
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

/// The products of the rows of each chunk with each other.
fn grams_of<T: Precision>(context: &Context, chunks: &[Chunk<'_, T>]) -> Result<Vec<Vec<f64>>> {
    let made = context.map_with(chunks.len(), Room::default, |room, c| {
        let mut gram = zeros(chunks[c].len() * chunks[c].len(), ENERGIES)?;
        chunks[c].gram(&mut gram, room)?;
        Ok(gram)
    })?;
    gathered(made, ENERGIES)
}

/// What one of the two had in each chunk before it took that in.
fn energies_of<T: Precision>(
    part: Part<'_>,
    chunks: &[Chunk<'_, T>],
    grams: &[Vec<f64>],
    room: &mut Room<T>,
) -> Result<Vec<f64>> {
    match part {
        Part::BlockPower(own) => {
            let alone = Context::new(1);
            gathered(chunks.iter().map(|chunk| own.absorb(&alone, chunk, room)), ENERGIES)
        }
        Part::Incremental(own) => {
            let pairs = chunks.iter().zip(grams);
            gathered(pairs.map(|(chunk, gram)| own.absorb_with(chunk, gram, room)), ENERGIES)
        }
    }
}
