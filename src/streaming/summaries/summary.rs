//! What a stream is summed up to, by the algorithm of that name.

use crate::error::{Error, Result};
use crate::parallel::Context;
use crate::streaming::params::{Algorithm, Params, Plan};
use crate::streaming::rows::chunk::{Chunk, Precision, Room};
use crate::streaming::rows::mean::Total;
use crate::streaming::rows::order::{Ahead, Rates};
use crate::streaming::small::numbers::Numbers;
use crate::streaming::summaries::frequent_directions::FrequentDirections;
use crate::streaming::summaries::gram::Gram;
use crate::streaming::summaries::ladder::{Grown, Ladder};
use crate::streaming::summaries::mixed::{Made, Maker, Mixed};
use crate::streaming::summaries::schedules::Schedule;
use crate::streaming::summaries::sketch::Sketch;
use serde::{Deserialize, Serialize};

/// One of them.
#[derive(Serialize, Deserialize)]
#[expect(clippy::large_enum_variant, reason = "a stream has one")]
pub enum Summary {
    /// Of rows that are still kept as they are: it will be made once there are more.
    Waiting,
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

/// Where rows are made what a summary works in, and its products.
#[derive(Default)]
pub struct Rooms {
    wide: Vec<f64>,
    narrow: Vec<f32>,
    double: Room<f64>,
    single: Room<f32>,
}

fn waiting() -> Error {
    Error::Internal("rows are to be summed up before there is anything to do that with".into())
}

/// The same call for any of them.
macro_rules! each {
    ($summary:expr, $own:ident => $call:expr) => {
        match $summary {
            Summary::Waiting => Default::default(),
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
            Algorithm::Oja => Self::Ladder(Ladder::new(d, params.delta, params.single, params.seed)?),
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
            Self::Waiting => Self::Waiting,
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
            (Self::Ladder(own), Algorithm::Oja) => own.fits(d, params.delta, params.single, params.seed),
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

    /// Takes rows in; light ones, if heavy rows are kept apart. Each summary takes them in the precision that it works in.
    pub fn absorb<T: Precision>(
        &mut self,
        context: &Context,
        chunk: &Chunk<'_, T>,
        single: bool,
        Rooms { wide, narrow, double, single: room }: &mut Rooms,
    ) -> Result<()> {
        match self {
            Self::Waiting => Err(waiting()),
            Self::Mixed(own) if single => own.absorb(context, &chunk.narrowed(narrow)?, room),
            Self::Mixed(own) => own.absorb(context, &chunk.widened(wide)?, double),
            Self::Ladder(own) if single => own.absorb(&chunk.narrowed(narrow)?, room),
            Self::Ladder(own) => own.absorb(&chunk.widened(wide)?, double),
            Self::Schedule(own) => own.absorb(context, &chunk.widened(wide)?, double),
            Self::FrequentDirections(own) => own.absorb(context, chunk),
            Self::Sketch(own) => own.absorb(&chunk.widened(wide)?, 1.0, double),
            Self::Gram(own) => own.absorb(chunk),
        }
    }

    /// What may be made of rows before they are taken in, on any thread.
    pub fn maker(&self) -> Result<Option<Maker>> {
        match self {
            Self::Mixed(own) => own.maker().map(Some),
            _ => Ok(None),
        }
    }

    /// Takes rows in of which that was made.
    pub fn absorb_made<T: Precision>(
        &mut self,
        context: &Context,
        chunk: &Chunk<'_, T>,
        made: &Made<T>,
        room: &mut Room<T>,
    ) -> Result<()> {
        match self {
            Self::Mixed(own) => own.absorb_made(context, chunk, made, room),
            _ => Err(Error::Internal("a summary that makes nothing of rows before it takes them in".into())),
        }
    }

    /// Takes rows out.
    pub fn delete(&mut self, chunk: &Chunk<'_, f64>, Rooms { double, .. }: &mut Rooms) -> Result<()> {
        match self {
            Self::Sketch(own) => own.absorb(chunk, -1.0, double),
            _ => Ok(()),
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
            (Self::FrequentDirections(own), Self::FrequentDirections(other)) => own.merge(context, other),
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

    /// Starts, in place of no rows, with what one row says of so many.
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

    /// L, r x d, whose L'L stands for the Gram matrix of all rows that were taken in, less their mean, of which `total`
    /// tells.
    pub fn factor(&mut self, context: &Context, total: Option<&Total>) -> Result<Numbers> {
        match self {
            Self::Sketch(own) => own.factor(context, total),
            Self::Waiting => Err(waiting()),
            Self::Mixed(own) => own.factor(),
            Self::Ladder(own) => own.factor(),
            Self::Schedule(own) => own.factor(),
            Self::FrequentDirections(own) => own.factor(),
            Self::Gram(own) => own.factor(context),
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
            Self::Waiting => "rows",
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
