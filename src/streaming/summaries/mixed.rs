//! Block power and the truncated SVD side by side, of the same light rows.
//!
//! Each is right where the other errs. Before a chunk is taken in, both say how much energy their first k directions have in
//! its rows; the past weighs 1 - 1/(number of the chunk), so that all of it counts but the early chunks, whose directions
//! were not yet what they are. What has more energy in the end goes into the answer.

use crate::error::Result;
use crate::memory::resize;
use crate::parallel::Context;
use crate::streaming::params::{Algorithm, Params, Plan};
use crate::streaming::rows::chunk::{Chunk, Precision, Room, squared_norms};
use crate::streaming::rows::order::{Ahead, Rates};
use crate::streaming::small::numbers::{Directions, Numbers};
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
}

/// What memory is for.
const MADE: &str = "products of a chunk";

/// Makes of rows, on any thread, what does not depend on those before.
pub struct Maker {
    /// Q, and how many rows it stays for.
    directions: Option<(Directions, u64)>,
    grams: bool,
}

/// What is made of a chunk.
#[derive(Default)]
pub struct Made<T> {
    pub norms: Vec<f64>,
    /// Of block power, what rows are along Q and what they make S more.
    along: Vec<f64>,
    sums: Vec<T>,
    /// Of the truncated SVD, the products of rows with each other.
    gram: Vec<f64>,
}

impl Maker {
    /// Rows that it may be asked about.
    pub fn rows(&self) -> u64 {
        self.directions.as_ref().map_or(u64::MAX, |(_, rows)| *rows)
    }

    /// Makes it.
    pub fn make<T: Precision>(
        &self,
        chunk: Chunk<'_, T>,
        made: &mut Made<T>,
        room: &mut Room<T>,
    ) -> Result<()> {
        squared_norms(&chunk.lines, chunk.d, &mut made.norms)?;
        let m = made.norms.len();
        if let Some((q, _)) = &self.directions {
            let b = q.len() / chunk.d;
            resize(&mut made.along, m * b, 0.0, MADE)?;
            resize(&mut made.sums, b * chunk.d, T::default(), MADE)?;
            chunk.along(T::of(q), &mut made.along);
            chunk.sums(&mut made.sums, &made.along, room)?;
        }
        if self.grams {
            resize(&mut made.gram, m * m, 0.0, MADE)?;
            chunk.gram(&mut made.gram, room)?;
        }
        Ok(())
    }
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
        Ok(Self { block_power, incremental, chunks: 0, scores: [0.0; 2] })
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
        let incremental = self.incremental.as_mut().map_or(Ok(0.0), |own| own.absorb(chunk, room))?;
        self.score([block_power, incremental]);
        Ok(())
    }

    /// The same with what was made of the rows before.
    pub fn absorb_made<T: Precision>(
        &mut self,
        context: &Context,
        chunk: &Chunk<'_, T>,
        Made { along, sums, gram, .. }: &Made<T>,
        room: &mut Room<T>,
    ) -> Result<()> {
        let block_power = self.block_power.as_mut();
        let block_power = block_power.map_or(Ok(0.0), |own| own.absorb_made(context, chunk, along, sums))?;
        let incremental = self.incremental.as_mut();
        let incremental = incremental.map_or(Ok(0.0), |own| own.absorb_with(chunk, gram, room))?;
        self.score([block_power, incremental]);
        Ok(())
    }

    /// What makes something of rows before they are taken in.
    pub fn maker(&self) -> Result<Maker> {
        let directions = self.block_power.as_ref().map(BlockPower::directions).transpose()?;
        Ok(Maker { directions, grams: self.incremental.is_some() })
    }

    fn score(&mut self, energies: [f64; 2]) {
        self.chunks += 1;
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
        Ok(())
    }

    /// Starts, in place of no rows, with what one row says of so many.
    pub fn begin_with(&mut self, context: &Context, factor: &[f64], rows: u64) -> Result<()> {
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
        self.block_power.as_ref().map_or(Ok(None), BlockPower::ahead)
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
