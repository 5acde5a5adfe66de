//! Ways to answers that refinement can finish. May use the design and refinement, knows nothing of the order in which
//! methods are tried.
//!
//! `gram`, in single and in double precision, and `whitened` are Cholesky-refined least squares.
//!
//! Each is a factor R of A'A that costs about one product A'A and a few reads of A to refine with. What is
//! refined with a factor that is too ill-conditioned for its precision would look right without being right
//! (the small singular values of R are rounding noise then, and so is any error estimate made from them).
//! Hence each is entered only with an *admissible* factor, judged by the condition of the very R in use.
//!
//! | method | products | admissible for | contraction of one refinement |
//! |---|---|---|---|
//! | gram, single | f32, summed in f64 | cond(R) <= 1e3 | 1e-8 cond^2 |
//! | gram, double | f64 | cond(R) <= 1e7 | 1e-16 cond^2 |
//! | whitened | sketch, then f64 and f32 | any cond | 1e-6 |
//!
//! Conditions are those of A with columns of norm one.
//!
//! | file | what it does |
//! |---|---|
//! | `outcome` | what a method comes to |
//! | `moments` | A'A and A'B in one read |
//! | `gram` | their Cholesky factor |
//! | `deficient` | their pivoted Cholesky factor, and the shortest answers |
//! | `sparse_cholesky` | the same where A'A is sparse |
//! | `shifted` | iterations with the factor of a shifted A'A, where that has none |
//! | `sketched` | R of a sketch |
//! | `whitened` | A'A in the coordinates in which a sketch is orthonormal |
//! | `spir` | sketched iterations for sparse or very wide matrices |
//! | `cg` | iterations without a factor, for sparse rows |
//! | `lsmr` | the same for linear operators |
//! | `augmented`, `fgmres` | refinement of the augmented system: all digits whatever the weights |
//! | `row_factor`, `dual` | fewer rows than columns: A A' in one read, or QR of A' with its Q |
//! | `qr`, `wide`, `least_norm` | tall-skinny QR, ranks, minimum-norm answers, fewer rows than columns |

pub(crate) mod augmented;
pub(crate) mod cg;
pub(crate) mod deficient;
pub(crate) mod dual;
pub(crate) mod fgmres;
pub(crate) mod gram;
pub(crate) mod least_norm;
pub(crate) mod lsmr;
pub(crate) mod moments;
pub(crate) mod outcome;
pub(crate) mod qr;
pub(crate) mod row_factor;
pub(crate) mod shifted;
pub(crate) mod sketched;
pub(crate) mod sparse_cholesky;
pub(crate) mod spir;
pub(crate) mod whitened;
pub(crate) mod wide;
