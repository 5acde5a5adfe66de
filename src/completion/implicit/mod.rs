//! Implicit feedback: what somebody has chosen, and how often; what has not been chosen counts a little too.
//!
//! Stored numbers r_ij are confidences, not values: an entry is preferred (p = 1) where r_ij > 0, and not (p = 0) where it
//! is negative. Rows u_i and v_j of two factors minimise
//!
//!   Σ_stored c_ij (p_ij - u_i'v_j)² + w Σ (u_i'v_j)² + Σ λ_i |u_i|² + Σ λ_j |v_j|²
//!
//! by turns, where the sum in the middle is over
//!
//! | confidence | c | pairs of the second sum | whose |
//! |---|---|---|---|
//! | [`Confidence::Linear`] | α abs(r) | those that are not stored | Hu, Koren and Volinsky (ICDM 2008), Python's `implicit` |
//! | [`Confidence::Uniform`] | α | all | Rendle, Krichene, Zhang and Koren (RecSys 2022), iALS |
//!
//! and λ_i = λ (n_i + w N)^e for a line with n of N possible entries. The second sum costs one Gram matrix of the fixed
//! factor, G, which all lines share: A_i = w G + Σ a y y' + λ_i I.
//!
//! | file | what |
//! |---|---|
//! | `confidence` | what an entry adds to the normal equations of a line, and its penalty |
//! | `line` | one line: exactly, by conjugate gradients, or block after block of its components (iALS++) |
//! | `half` | all lines of one side |
//! | `risk` | the tail of the losses of rows (SAFER2), instead of their sum |
//! | `fit` | the driver, [`fit()`], and rows folded in, [`fold_in()`] |

mod confidence;
mod fit;
mod half;
mod line;
mod risk;

pub use confidence::{Confidence, Terms};
pub use fit::{Output, Params, fit, fold_in};
pub use line::Way;
pub use risk::Risk;
