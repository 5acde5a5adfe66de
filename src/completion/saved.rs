//! The bytes of a model.

use super::determined::Determined;
use super::factors::Factor;
use super::half::Penalty;
use super::model::{Model, Seen};
use crate::error::{Error, Result};
use crate::linalg::Scalar;
use crate::matrix::Buffer;
use crate::memory::{copied, zeros};
use crate::parallel::Context;
use crate::state::{self, Floats, Stored};
use serde::{Deserialize, Serialize};

const VERSION: u32 = 3;

/// The name of the state for numbers of a type.
fn kind<T: Stored>() -> &'static str {
    if T::as_f64(&[]).is_some() { "MatrixCompl" } else { "MatrixCompl f32" }
}

/// True of bytes of a model in single precision.
pub fn is_single(bytes: &[u8]) -> bool {
    bytes.get(8..23) == Some(b"MatrixCompl f32")
}

/// A model to be written, and words that go with it.
#[derive(Serialize, Deserialize)]
#[serde(bound(serialize = "T: Stored", deserialize = "T: Stored, 'de: 'a"))]
struct Saved<'a, T> {
    words: String,
    counts: [u64; 2],
    rank: u64,
    /// Mean, scale, penalty, its exponent.
    numbers: [f64; 4],
    bias_penalty: Option<f64>,
    #[serde(borrow)]
    rows: Floats<'a, T>,
    #[serde(borrow)]
    row_bias: Floats<'a, T>,
    #[serde(borrow)]
    columns: Floats<'a, T>,
    #[serde(borrow)]
    column_bias: Floats<'a, T>,
    ends: Vec<u64>,
    seen: Vec<u32>,
    #[serde(borrow)]
    values: Floats<'a, T>,
    /// None, or as many.
    #[serde(borrow)]
    weights: Floats<'a, T>,
    nonnegative: bool,
    delta: Option<f64>,
    /// Whether what is not determined is told.
    exact: bool,
    /// Whether some of it is in the midst of what is.
    free: bool,
}

impl<T: Scalar + Stored> Model<T> {
    /// The bytes of the model, and of words that go with it.
    pub fn to_bytes(&self, context: &Context, words: String) -> Result<Vec<u8>> {
        let (rows, columns) = (self.rows.dense(1.0)?, self.columns.dense(1.0)?);
        let saved = Saved {
            words,
            counts: [self.rows.count as u64, self.columns.count as u64],
            rank: self.rows.rank as u64,
            numbers: [self.mean, self.scale, self.penalty.factor, self.penalty.exponent],
            bias_penalty: self.penalty.bias,
            rows: Floats::Numbers(&rows),
            row_bias: Floats::Numbers(&self.rows.bias),
            columns: Floats::Numbers(&columns),
            column_bias: Floats::Numbers(&self.columns.bias),
            ends: copied(&self.seen.ends, "the bytes of a state")?,
            seen: copied(&self.seen.columns, "the bytes of a state")?,
            values: Floats::Numbers(&self.values),
            weights: Floats::Numbers(self.weights.as_deref().unwrap_or_default()),
            nonnegative: self.nonnegative,
            delta: self.delta,
            exact: self.determined.is_some(),
            free: self.determined.as_ref().is_some_and(|determined| determined.free.is_some()),
        };
        state::to_bytes(context, kind::<T>(), VERSION, &saved)
    }

    /// The model, and the words that went with it.
    pub fn from_bytes(context: &Context, bytes: &[u8]) -> Result<(Self, String)> {
        let saved: Saved<'_, T> = state::from_bytes(context, kind::<T>(), VERSION, bytes)?;
        let [mean, scale, factor, exponent] = saved.numbers;
        let rank = number(saved.rank)?;
        let [rows, columns] = saved.counts;
        let rows = restored(context, number(rows)?, rank, &saved.rows, &saved.row_bias)?;
        let columns = restored(context, number(columns)?, rank, &saved.columns, &saved.column_bias)?;
        let sound = saved.numbers.iter().all(|number| number.is_finite())
            && scale > 0.0
            && factor >= 0.0
            && saved.bias_penalty.is_none_or(|bias| bias >= 0.0)
            && rank > 0
            && saved.ends.len() == rows.count + 1
            && saved.ends[0] == 0
            && saved.ends.is_sorted()
            && saved.ends[rows.count] == saved.seen.len() as u64
            && saved.seen.iter().all(|&j| (j as usize) < columns.count);
        let [values, weights] = [&saved.values, &saved.weights].map(|numbers| list(context, numbers));
        let (values, weights) = (values?, Some(weights?).filter(|weights| !weights.is_empty()));
        let counted = weights.as_ref().is_none_or(|weights| {
            weights.len() == values.len() && weights.iter().all(|weight| weight.to_f64() > 0.0)
        });
        if !sound || values.len() != saved.seen.len() || !counted {
            return Err(senseless());
        }
        let penalty = Penalty { factor, bias: saved.bias_penalty, exponent };
        let seen = Seen { ends: saved.ends, columns: saved.seen };
        let graph = (&seen.ends[..], &seen.columns[..]);
        let mut determined = saved
            .exact
            .then(|| Determined::of(context, graph, columns.count, rank, |_, _| true))
            .transpose()?;
        if let Some(determined) = determined.as_mut().filter(|_| saved.free) {
            determined.look(context, graph, (&rows, &columns))?;
        }
        let (nonnegative, delta) = (saved.nonnegative, saved.delta.filter(|delta| *delta > 0.0));
        let model = Self {
            rows,
            columns,
            mean,
            scale,
            penalty,
            seen,
            values,
            weights,
            nonnegative,
            delta,
            determined,
        };
        Ok((model, saved.words))
    }
}

fn senseless() -> Error {
    Error::State("its content does not make sense".into())
}

fn number(value: u64) -> Result<usize> {
    usize::try_from(value).map_err(|_| senseless())
}

/// Numbers that are finite.
fn list<T: Scalar + Stored>(context: &Context, numbers: &Floats<'_, T>) -> Result<Vec<T>> {
    let mut list = zeros(numbers.len(), "observed values")?;
    numbers.copy_to(context, &mut list)?;
    if list.iter().any(|number: &T| !number.to_f64().is_finite()) {
        return Err(senseless());
    }
    Ok(list)
}

fn restored<T: Scalar + Stored>(
    context: &Context,
    count: usize,
    rank: usize,
    rows: &Floats<'_, T>,
    bias: &Floats<'_, T>,
) -> Result<Factor<T>> {
    if Some(rows.len()) != count.checked_mul(rank) || bias.len() != count || rank == 0 {
        return Err(senseless());
    }
    let mut factor = Factor::zeros(count, rank)?;
    let mut numbers = Buffer::zeros(rows.len(), "the factors")?;
    rows.copy_to(context, &mut numbers)?;
    let stride = factor.stride;
    for (to, from) in factor.rows.chunks_exact_mut(stride).zip(numbers.chunks_exact(rank)) {
        to[..rank].copy_from_slice(from);
    }
    bias.copy_to(context, &mut factor.bias)?;
    if factor.rows.iter().chain(&factor.bias).any(|x| !x.to_f64().is_finite()) {
        return Err(senseless());
    }
    Ok(factor)
}
