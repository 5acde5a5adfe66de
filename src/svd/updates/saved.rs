//! The bytes of a model.

use crate::error::{Error, Result};
use crate::matrix::{Buffer, Mat};
use crate::memory::{collected, gathered, push, zeros};
use crate::parallel::Context;
use crate::state::{self, Blocks, Floats, Stored};
use crate::svd::updates::ledger::Ledger;
use crate::svd::updates::probe::{DRAWS, Probe};
use crate::svd::updates::side::{CHUNK, Level, NOBODY, Side};
use crate::svd::updates::truncated::{Counters, Moments, Policy, TruncatedSvd};
use serde::{Deserialize, Serialize};

const VERSION: u32 = 1;
/// What memory is for.
const STATE: &str = "a saved model";

/// The name of the state for numbers of a type.
fn kind<T: Stored>() -> &'static str {
    if T::as_f64(&[]).is_some() { "TruncatedSVD" } else { "TruncatedSVD f32" }
}

/// True of bytes of a model in single precision.
pub fn is_single(bytes: &[u8]) -> bool {
    bytes.get(8..24) == Some(b"TruncatedSVD f32")
}

/// A model to be written, and words that go with it.
#[derive(Serialize, Deserialize)]
#[serde(bound(serialize = "T: Stored", deserialize = "T: Stored, 'de: 'a"))]
pub struct Saved<'a, T> {
    words: String,
    most: u64,
    #[serde(borrow)]
    s: Floats<'a>,
    ledger: Ledger,
    counters: Counters,
    weights: [f64; 2],
    #[serde(borrow)]
    sums: Option<Floats<'a>>,
    policy: Policy,
    #[serde(borrow)]
    probe: Option<SavedProbe<'a>>,
    #[serde(borrow)]
    left: SavedSide<'a, T>,
    #[serde(borrow)]
    right: SavedSide<'a, T>,
}

#[derive(Serialize, Deserialize)]
struct SavedProbe<'a> {
    seed: u64,
    #[serde(borrow)]
    rows: Floats<'a>,
    serials: Vec<u64>,
    next: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(bound(serialize = "T: Stored", deserialize = "T: Stored, 'de: 'a"))]
struct SavedSide<'a, T> {
    stride: u64,
    growth: f64,
    level: Vec<u16>,
    order: Vec<u32>,
    free: Vec<u32>,
    #[serde(borrow)]
    levels: Vec<SavedLevel<'a>>,
    #[serde(borrow)]
    chunks: Blocks<'a, T>,
}

#[derive(Serialize, Deserialize)]
struct SavedLevel<'a> {
    slots: Vec<u32>,
    live: u64,
    /// Of the numbers that its rows are stored with, and of those above.
    widths: [u64; 2],
    #[serde(borrow)]
    gram: Floats<'a>,
    #[serde(borrow)]
    rotation: Floats<'a>,
}

impl<T: Stored> Saved<'_, T> {
    /// How many bytes there will be.
    pub fn size(&self) -> Result<usize> {
        state::size(self)
    }

    /// Writes them.
    pub fn write(&self, context: &Context, bytes: &mut [u8]) -> Result<()> {
        state::write(context, kind::<T>(), VERSION, self, bytes)
    }
}

impl<T: Stored> TruncatedSvd<T> {
    /// The model to be written, with some words.
    pub fn save(&self, words: String) -> Result<Saved<'_, T>> {
        Ok(Saved {
            words,
            most: self.most as u64,
            s: Floats::Numbers(&self.s),
            ledger: self.ledger,
            counters: self.counters,
            weights: self.moments.weights,
            sums: self.moments.sums.as_deref().map(Floats::Numbers),
            policy: self.policy,
            probe: self.probe.as_ref().map(SavedProbe::of).transpose()?,
            left: SavedSide::of(&self.left)?,
            right: SavedSide::of(&self.right)?,
        })
    }

    /// A model that goes on as the one that was saved would, and the words.
    pub fn from_bytes(context: &Context, bytes: &[u8]) -> Result<(Self, String)> {
        let saved: Saved<'_, T> = state::from_bytes(context, kind::<T>(), VERSION, bytes)?;
        let (left, right) = (saved.left.restored(context)?, saved.right.restored(context)?);
        let (s, most) = (numbers(context, &saved.s)?, saved.most as usize);
        let sums = saved.sums.as_ref().map(|sums| numbers(context, sums)).transpose()?;
        let probe = saved.probe.map(|probe| probe.restored(context)).transpose()?;
        let fits = left.width() == s.len()
            && right.width() == s.len()
            && s.len() <= most
            && most <= left.stride.min(right.stride)
            && s.iter().all(|&s| s >= 0.0)
            && s.is_sorted_by(|a, b| a >= b)
            && sums.as_ref().is_none_or(|sums| sums.len() >= right.level.len())
            && probe.as_ref().is_none_or(|probe| {
                probe.rows.len() == DRAWS * left.level.len()
                    && probe.serials.len() == right.level.len()
                    && saved.policy.probe == Some(probe.seed)
            })
            && saved.weights.iter().all(|weight| weight.is_finite() && *weight >= 0.0);
        if !fits {
            return Err(senseless());
        }
        let moments = Moments { weights: saved.weights, sums };
        let (ledger, counters, policy) = (saved.ledger, saved.counters, saved.policy);
        Ok((Self { left, right, s, most, ledger, moments, counters, policy, probe }, saved.words))
    }

    /// An independent copy, as an error-returning `clone`.
    pub fn copy(&self, context: &Context) -> Result<Self> {
        let sums =
            self.moments.sums.as_ref().map(|sums| collected(sums.iter().copied(), STATE)).transpose()?;
        Ok(Self {
            left: self.left.copy(context)?,
            right: self.right.copy(context)?,
            s: collected(self.s.iter().copied(), STATE)?,
            most: self.most,
            ledger: self.ledger,
            moments: Moments { weights: self.moments.weights, sums },
            counters: self.counters,
            policy: self.policy,
            probe: self.probe.as_ref().map(Probe::copy).transpose()?,
        })
    }
}

fn senseless() -> Error {
    Error::State("its content does not make sense".into())
}

/// Finite numbers.
fn numbers<T: Stored>(context: &Context, saved: &Floats<'_, T>) -> Result<Vec<T>> {
    let mut numbers = zeros(saved.len(), STATE)?;
    saved.copy_to(context, &mut numbers)?;
    let finite = numbers.iter().all(|number| number.to_f64().is_finite());
    finite.then_some(numbers).ok_or_else(senseless)
}

/// A matrix of that shape.
fn matrix(context: &Context, saved: &Floats<'_>, rows: u64, columns: u64) -> Result<Mat<f64>> {
    if rows.checked_mul(columns) != Some(saved.len() as u64) {
        return Err(senseless());
    }
    let mut matrix = Mat::zeros(rows as usize, columns as usize)?;
    saved.copy_to(context, matrix.as_mut_slice())?;
    let finite = matrix.as_slice().iter().all(|number| number.is_finite());
    finite.then_some(matrix).ok_or_else(senseless)
}

impl<'a> SavedProbe<'a> {
    fn of(probe: &'a Probe) -> Result<Self> {
        let serials = collected(probe.serials.iter().copied(), STATE)?;
        Ok(Self { seed: probe.seed, rows: Floats::Numbers(&probe.rows), serials, next: probe.next })
    }

    fn restored(self, context: &Context) -> Result<Probe> {
        let rows = numbers(context, &self.rows)?;
        let known = self.serials.iter().all(|&serial| serial < self.next || serial == 0);
        let probe = Probe { seed: self.seed, rows, serials: self.serials, next: self.next };
        (known && self.next < 1 << 62).then_some(probe).ok_or_else(senseless)
    }
}

impl<'a, T: Stored> SavedSide<'a, T> {
    fn of(side: &'a Side<T>) -> Result<Self> {
        let slots = side.level.len();
        let used = |(chunk, rows): (usize, &'a Buffer<T>)| {
            let count = (slots - (chunk * CHUNK).min(slots)).min(CHUNK);
            Floats::Numbers(&rows[..count * side.stride])
        };
        let level = |level: &'a Level| {
            Ok::<_, Error>(SavedLevel {
                slots: collected(level.slots.iter().copied(), STATE)?,
                live: level.live as u64,
                widths: [level.rotation.ncols() as u64, level.rotation.nrows() as u64],
                gram: Floats::Numbers(level.gram.as_slice()),
                rotation: Floats::Numbers(level.rotation.as_slice()),
            })
        };
        Ok(Self {
            stride: side.stride as u64,
            growth: side.growth,
            level: collected(side.level.iter().copied(), STATE)?,
            order: collected(side.order.iter().copied(), STATE)?,
            free: collected(side.free.iter().copied(), STATE)?,
            levels: gathered(side.levels.iter().map(level), STATE)?,
            chunks: Blocks(collected(side.chunks.iter().enumerate().map(used), STATE)?),
        })
    }

    fn restored(self, context: &Context) -> Result<Side<T>> {
        let stride = usize::try_from(self.stride).map_err(|_| senseless())?;
        let slots = self.level.len();
        if !self.makes_sense(stride) {
            return Err(senseless());
        }
        let mut levels = Vec::new();
        for saved in &self.levels {
            let [width, above] = saved.widths;
            let level = Level {
                slots: collected(saved.slots.iter().copied(), STATE)?,
                live: saved.live as usize,
                gram: matrix(context, &saved.gram, width, width)?,
                rotation: matrix(context, &saved.rotation, above, width)?,
            };
            push(&mut levels, level, STATE)?;
        }
        let mut chunks = Vec::new();
        for (chunk, saved) in self.chunks.0.iter().enumerate() {
            let count = (slots - (chunk * CHUNK).min(slots)).min(CHUNK) * stride;
            if saved.len() != count {
                return Err(senseless());
            }
            let mut rows = Buffer::zeros(CHUNK * stride, STATE)?;
            saved.copy_to(context, &mut rows[..count])?;
            if !rows[..count].iter().all(|number| number.to_f64().is_finite()) {
                return Err(senseless());
            }
            push(&mut chunks, rows, STATE)?;
        }
        let order = collected(self.order, STATE)?.into();
        Ok(Side { chunks, stride, level: self.level, order, free: self.free, levels, growth: self.growth })
    }

    /// Whether every slot has a row or is free, and levels and rows go together.
    fn makes_sense(&self, stride: usize) -> bool {
        let slots = self.level.len();
        let (count, widths) = (self.levels.len(), self.levels.iter().map(|level| level.widths));
        let chained = self.levels.windows(2).all(|pair| pair[0].widths[1] == pair[1].widths[0]);
        let narrow = widths.flatten().all(|width| width <= stride as u64);
        let on_levels = self.level.iter().all(|&level| level == NOBODY || usize::from(level) < count);
        let mut live = [0u64; 1 << 8];
        if !(1..live.len()).contains(&count)
            || !chained
            || !narrow
            || !on_levels
            || stride > 1 << 20
            || !stride.is_multiple_of(8)
            || self.chunks.0.len() != slots.div_ceil(CHUNK)
            || !(self.growth.is_finite() && self.growth >= 1.0)
            || self.order.len() + self.free.len() != slots
        {
            return false;
        }
        let Ok(mut seen) = zeros::<bool>(slots, STATE) else { return false };
        let mut is_new =
            |slot: u32| seen.get_mut(slot as usize).is_some_and(|seen| !std::mem::replace(seen, true));
        for &slot in &self.order {
            if !is_new(slot) || self.level[slot as usize] == NOBODY {
                return false;
            }
            live[usize::from(self.level[slot as usize])] += 1;
        }
        let free = self.free.iter().all(|&slot| is_new(slot) && self.level[slot as usize] == NOBODY);
        let mut listed = [0u64; 1 << 8];
        for (number, level) in self.levels.iter().enumerate().skip(1) {
            let on_it = |slot: &&u32| self.level.get(**slot as usize) == Some(&(number as u16));
            if !level.slots.iter().all(|&slot| (slot as usize) < slots) {
                return false;
            }
            listed[number] = level.slots.iter().filter(on_it).count() as u64;
        }
        free && (0..count).all(|number| {
            self.levels[number].live == live[number] && (number == 0 || listed[number] == live[number])
        })
    }
}

impl<T: Stored> Side<T> {
    fn copy(&self, context: &Context) -> Result<Self> {
        let level = |level: &Level| {
            Ok::<_, Error>(Level {
                slots: collected(level.slots.iter().copied(), STATE)?,
                live: level.live,
                gram: level.gram.copy()?,
                rotation: level.rotation.copy()?,
            })
        };
        let mut levels = Vec::new();
        for old in &self.levels {
            push(&mut levels, level(old)?, STATE)?;
        }
        let mut chunks = Vec::new();
        for chunk in &self.chunks {
            push(&mut chunks, Buffer::copy_in_pieces(context, chunk, STATE)?, STATE)?;
        }
        Ok(Self {
            chunks,
            stride: self.stride,
            level: collected(self.level.iter().copied(), STATE)?,
            order: collected(self.order.iter().copied(), STATE)?.into(),
            free: collected(self.free.iter().copied(), STATE)?,
            levels,
            growth: self.growth,
        })
    }
}
