//! What updates have left out, and what that proves.
//!
//! With A the matrix that came in and M the model, D_t what the truncation of update t cut off:
//!
//! * after appends of rows alone, A'A = M'M + P with P = sum of D_t'D_t >= 0, so |A|^2 - |M|^2 is the trace of P, |P|_2 is at
//!   most `spread` and |A - U_k S_k V_k'|_F^2 = |A|^2 - sum of the k largest s^2 exactly; of columns alone, the same of A A'.
//! * after any updates, |A - M|_F <= `frobenius` and |s_i(A) - s_i(M)| <= `spectral`.

use crate::svd::energy::is_in_range;
use serde::{Deserialize, Serialize};

/// The updates so far, by what they leave provable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// None but the first factors.
    Fitted,
    /// Rows were appended.
    Rows,
    /// Columns were appended.
    Columns,
    /// Anything.
    Mixed,
}

impl Kind {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fitted => "fitted",
            Self::Rows => "rows",
            Self::Columns => "columns",
            Self::Mixed => "mixed",
        }
    }

    /// After updates of another kind, too.
    pub fn with(self, other: Self) -> Self {
        match (self, other) {
            (kind, Self::Fitted) | (Self::Fitted, kind) => kind,
            (kind, other) if kind == other => kind,
            _ => Self::Mixed,
        }
    }
}

/// Sums over the updates so far.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ledger {
    /// |A|_F^2.
    pub energy: f64,
    /// False once something changed whose old value is not known.
    pub energy_known: bool,
    /// Sum of |D_t|_2^2.
    pub spread: f64,
    /// Sum of |D_t|_2.
    pub spectral: f64,
    /// Sum of |D_t|_F.
    pub frobenius: f64,
    /// What came.
    pub kind: Kind,
    /// Updates so far.
    pub updates: u64,
    /// What rounding may have done to the model, as a sum of norms: what was large once has left its own.
    pub rounding: f64,
    /// What it may have done to `energy`.
    pub energy_rounding: f64,
    /// The largest residual of the first factors beside the largest singular value, from the right: infinite if unknown.
    pub residual: f64,
}

impl Ledger {
    /// Of an empty matrix.
    pub const EMPTY: Self = Self {
        energy: 0.0,
        energy_known: true,
        spread: 0.0,
        spectral: 0.0,
        frobenius: 0.0,
        kind: Kind::Fitted,
        updates: 0,
        rounding: 0.0,
        energy_rounding: 0.0,
        residual: 0.0,
    };

    /// Residuals of the first factors up to this leave columns what rows have.
    const SMALL: f64 = 1e-9;

    /// |A|_F^2, if it is known and more than rounding.
    pub fn told_energy(&self) -> Option<f64> {
        let told = self.energy_known && self.energy_rounding <= 0.1 * self.energy;
        told.then_some(self.energy)
    }

    /// With the rounding of an update of numbers in units of `roundoff`, between models and matrices of these sizes. Where
    /// squares are out of range, nothing is known any more.
    pub fn rounded(self, roundoff: f64, size: f64, energy: f64) -> Self {
        const STEPS: f64 = 8.0;
        if size > 0.0 && !is_in_range(size * size) {
            let unknown = f64::INFINITY;
            return Self {
                energy_known: false,
                spread: unknown,
                spectral: unknown,
                frobenius: unknown,
                ..self
            };
        }
        Self {
            rounding: self.rounding + STEPS * roundoff * size,
            energy_rounding: self.energy_rounding + STEPS * f64::EPSILON * energy,
            ..self
        }
    }

    /// Of factors that leave out so much.
    pub fn fitted(energy: f64, discarded: f64) -> Self {
        let discarded = discarded.max(0.0);
        let root = discarded.sqrt();
        Self { energy, spread: discarded, spectral: root, frobenius: root, ..Self::EMPTY }
    }

    /// After an update that brought so much energy and cut off singular values, of which the largest is `next`.
    pub fn after(self, kind: Kind, energy: f64, next: f64, discarded: f64) -> Self {
        // The first factors are a projection from the left.
        let from_the_right = kind == Kind::Columns && self.residual > Self::SMALL;
        let kind = if from_the_right { Kind::Mixed } else { kind };
        Self {
            energy: self.energy + energy,
            spread: self.spread + next * next,
            spectral: self.spectral + next,
            frobenius: self.frobenius + discarded.max(0.0).sqrt(),
            kind: self.kind.with(kind),
            updates: self.updates + 1,
            ..self
        }
    }

    /// With so much, in units of `unit`, that a batch had beside what was kept of it, if any of it was left out.
    pub fn without(self, left_out: Option<f64>, unit: f64) -> Self {
        let Some(left_out) = left_out.map(|left_out| left_out * unit) else { return self };
        Self {
            spectral: self.spectral + left_out,
            frobenius: self.frobenius + left_out,
            kind: Kind::Mixed,
            ..self
        }
    }

    /// Of gamma A.
    pub fn scaled(self, gamma: f64) -> Self {
        Self {
            energy: self.energy * gamma * gamma,
            spread: self.spread * gamma * gamma,
            spectral: self.spectral * gamma,
            frobenius: self.frobenius * gamma,
            rounding: self.rounding * gamma,
            energy_rounding: self.energy_rounding * gamma * gamma,
            ..self
        }
    }

    /// Of two matrices, one below the other.
    pub fn stacked(self, other: Self) -> Self {
        Self {
            energy: self.energy + other.energy,
            energy_known: self.energy_known && other.energy_known,
            spread: self.spread + other.spread,
            spectral: self.spectral.hypot(other.spectral),
            frobenius: self.frobenius.hypot(other.frobenius),
            kind: self.kind.with(other.kind).with(Kind::Rows),
            updates: self.updates + other.updates,
            rounding: self.rounding + other.rounding,
            energy_rounding: self.energy_rounding + other.energy_rounding,
            residual: self.residual.max(other.residual),
        }
    }
}
