//! Soft thresholding of singular values: the convex way to a low rank.
//!
//! Of all Z, minimise ½ Σ_observed (v_ij - z_ij)² + λ |Z|_*, where |Z|_* is the sum of the singular values. From
//! λ = |P(V)|_2 on, P(V) being what was observed among zeros, the answer is zero; smaller λ are reached on a path from there,
//! each from the answer of the one before.
//!
//! | file | what |
//! |---|---|
//! | `path` | the driver, [`fit()`]: a path, and the λ with the smallest error on what is held out |
//! | `alternating` | Z = A B' by alternating ridge regressions with the penalty ½ λ (|A|² + |B|²), whose least is that of λ |Z|_* |
//! | `iterated` | Z ← S_λ(P(V) + what Z has elsewhere), singular values of whole matrices less λ |
//! | `solution` | singular values and vectors, and one step of the latter, which makes small ones zeros, from two factors |
//! | `gap` | what is left to gain, by the dual problem |
//! | `denoise` | hard and soft thresholds for matrices with noise, whole or with gaps |

mod alternating;
mod denoise;
mod gap;
mod iterated;
mod path;
mod solution;

pub use denoise::{Denoised, denoise};
pub use path::{Output, Params, Step, fit};
