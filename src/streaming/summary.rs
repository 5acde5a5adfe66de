//! What a stream is summed up to, by the algorithm of that name.

use crate::error::{Error, Result};
use crate::parallel::Context;
use crate::streaming::frequent_directions::FrequentDirections;
use crate::streaming::gram::Gram;
use crate::streaming::ladder::{Grown, Ladder};
use crate::streaming::mean::Total;
use crate::streaming::mixed::Mixed;
use crate::streaming::numbers::Numbers;
use crate::streaming::order::{Ahead, Rates};
use crate::streaming::params::{Algorithm, Params, Plan};
use crate::streaming::rows::Chunk;
use crate::streaming::schedules::Schedule;
use crate::streaming::sketch::Sketch;
use serde::{Deserialize, Serialize};

/// One of them.
#[derive(Serialize, Deserialize)]
#[expect(clippy::large_enum_variant, reason = "a stream has one")]
pub enum Summary {
    /// Block power, a truncated SVD, or both.
    Mixed(Mixed),
    /// Oja's rule at many rates.
    Ladder(Ladder),
    /// Oja's rule at one rate.
    Schedule(Schedule),
    FrequentDirections(FrequentDirections),
    Sketch(Sketch),
    Gram(Gram),
}

/// The same call for any of them.
macro_rules! each {
    ($summary:expr, $own:ident => $call:expr) => {
        match $summary {
            Summary::Mixed($own) => $call,
            Summary::Ladder($own) => $call,
            Summary::Schedule($own) => $call,
            Summary::FrequentDirections($own) => $call,
            Summary::Sketch($own) => $call,
            Summary::Gram($own) => $call,
        }
    };
}

impl Summary {
    /// Of no rows.
    pub fn new(context: &Context, params: &Params, plan: &Plan) -> Result<Self> {
        let d = plan.d;
        Ok(match plan.algorithm {
            Algorithm::Oja => Self::Ladder(Ladder::new(d, params.delta, params.seed)?),
            Algorithm::OjaFixed | Algorithm::OjaDecay | Algorithm::AdaOja => {
                Self::Schedule(Schedule::new(context, params, plan)?)
            }
            Algorithm::FrequentDirections => {
                Self::FrequentDirections(FrequentDirections::new(params.sketch, d)?)
            }
            Algorithm::Sketch => Self::Sketch(Sketch::new(params.sketch, d, params.seed)?),
            Algorithm::Gram => Self::Gram(Gram::new(d, params.k)?),
            _ => Self::Mixed(Mixed::new(context, params, plan)?),
        })
    }

    /// An independent copy, as an error-returning `clone`.
    pub fn copy(&self) -> Result<Self> {
        Ok(match self {
            Self::Mixed(own) => Self::Mixed(own.copy()?),
            Self::Ladder(own) => Self::Ladder(own.copy()?),
            Self::Schedule(own) => Self::Schedule(own.copy()?),
            Self::FrequentDirections(own) => Self::FrequentDirections(own.copy()?),
            Self::Sketch(own) => Self::Sketch(own.copy()?),
            Self::Gram(own) => Self::Gram(own.copy()?),
        })
    }

    /// True of what such a stream may have.
    pub fn fits(&self, params: &Params, plan: &Plan) -> bool {
        let d = plan.d;
        match (self, plan.algorithm) {
            (Self::Ladder(own), Algorithm::Oja) => own.fits(d, params.delta, params.seed),
            (Self::FrequentDirections(own), Algorithm::FrequentDirections) => own.fits(params.sketch, d),
            (Self::Sketch(own), Algorithm::Sketch) => own.fits(params.sketch, d, params.seed),
            (Self::Gram(own), Algorithm::Gram) => own.fits(d, params.k),
            (Self::Schedule(own), Algorithm::OjaFixed | Algorithm::OjaDecay | Algorithm::AdaOja) => {
                own.fits(params, plan)
            }
            (Self::Mixed(own), Algorithm::BlockPower | Algorithm::Incremental | Algorithm::Mixed) => {
                own.fits(params, plan)
            }
            _ => false,
        }
    }

    /// Takes rows in; light ones, if heavy rows are kept apart.
    pub fn absorb(&mut self, context: &Context, chunk: &Chunk<'_>) -> Result<()> {
        match self {
            Self::Mixed(own) => own.absorb(context, chunk),
            Self::Ladder(own) => own.absorb(chunk),
            Self::Schedule(own) => own.absorb(context, chunk),
            Self::FrequentDirections(own) => own.absorb(chunk),
            Self::Sketch(own) => own.absorb(chunk, 1.0),
            Self::Gram(own) => {
                own.absorb(chunk);
                Ok(())
            }
        }
    }

    /// Closes what is open.
    pub fn finish(&mut self, context: &Context) -> Result<()> {
        match self {
            Self::Mixed(own) => own.finish(context),
            _ => Ok(()),
        }
    }

    /// Takes in another one of the same parameters.
    pub fn merge(&mut self, context: &Context, other: &Self) -> Result<()> {
        match (self, other) {
            (Self::Mixed(own), Self::Mixed(other)) => own.merge(context, other),
            (Self::FrequentDirections(own), Self::FrequentDirections(other)) => own.merge(other),
            (Self::Sketch(own), Self::Sketch(other)) => {
                own.merge(other);
                Ok(())
            }
            (Self::Gram(own), Self::Gram(other)) => {
                own.merge(other);
                Ok(())
            }
            (Self::Ladder(_), _) => Err(Error::value(
                "approximate",
                "False",
                "True: streams of Oja's rule merge into one of block power, without its guarantee",
            )),
            _ => Err(Error::value("algorithm", "Oja's rule at one rate", "one whose streams can be merged")),
        }
    }

    /// Starts, in place of no rows, with what d x 1 says of so many.
    pub fn begin_with(&mut self, context: &Context, factor: &[f64], rows: u64) -> Result<()> {
        match self {
            Self::Mixed(own) => own.begin_with(context, factor, rows),
            _ => Err(Error::Internal("a summary that cannot begin with a direction".into())),
        }
    }

    /// Whether rows are centred before they are taken in, if they are to be.
    pub fn is_centred(&self) -> bool {
        !matches!(self, Self::Sketch(_))
    }

    /// L, d x r, whose L L' stands for the Gram matrix of all rows that were taken in, and r; less their mean, of which
    /// `total` tells.
    pub fn factor(&mut self, total: Option<&Total>) -> Result<(Numbers, usize)> {
        match self {
            Self::Sketch(own) => own.factor(total),
            Self::Mixed(own) => own.factor(),
            Self::Ladder(own) => own.factor(),
            Self::Schedule(own) => own.factor(),
            Self::FrequentDirections(own) => own.factor(),
            Self::Gram(own) => own.factor(),
        }
    }

    /// What rows said of directions that they were not made of, where that is known.
    pub fn rates(&self) -> Option<&Rates> {
        match self {
            Self::Mixed(own) => own.rates(),
            _ => None,
        }
    }

    /// A direction, and what the rows say of it that it is not made of.
    pub fn ahead(&self) -> Result<Option<Ahead>> {
        match self {
            Self::Mixed(own) => own.ahead(),
            _ => Ok(None),
        }
    }

    /// How far the rung that answers has grown.
    pub fn grown(&self) -> Option<Grown> {
        match self {
            Self::Ladder(own) => own.grown(),
            _ => None,
        }
    }

    /// What A'A may at most be more, in any direction, than what the factor says, if it is never less.
    pub fn slack(&self, rounding: f64) -> Option<f64> {
        match self {
            Self::FrequentDirections(own) => Some(own.lost() + rounding),
            Self::Gram(_) => Some(rounding),
            _ => None,
        }
    }

    /// What the light rows of the answer are summed up by.
    pub fn light(&self) -> &'static str {
        match self {
            Self::Mixed(own) if own.takes_block_power() => "block_power",
            Self::Mixed(_) => "incremental",
            Self::Ladder(_) => "oja",
            Self::Schedule(_) => "schedule",
            Self::FrequentDirections(_) => "frequent_directions",
            Self::Sketch(_) => "sketch",
            Self::Gram(_) => "gram",
        }
    }

    /// Numbers of the state.
    pub fn size(&self) -> usize {
        each!(self, own => own.size())
    }

    /// In another unit: rows times `factor`, a power of two.
    pub fn scale(&mut self, factor: f64) {
        each!(self, own => own.scale(factor));
    }

    /// Rows will be divided by two to this power.
    pub fn choose_unit(&mut self, exponent: i32) {
        if let Self::Schedule(own) = self {
            own.choose_unit(exponent);
        }
    }
}
