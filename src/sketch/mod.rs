//! Sketching operators: random m x n matrices S with `E[S'S] = I` that shrink a tall matrix to m rows.
//!
//! | kind | S | made for |
//! |---|---|---|
//! | [`Kind::SparseSign`] | zeta stacked CountSketches: zeta nonzeros per column | preconditioning |
//! | [`Kind::CountSketch`] | one nonzero per column | cheapest of all, m of order d^2 |
//! | [`Kind::Srht`] | subsampled randomised Hadamard transform of one length N >= n | answers |
//! | [`Kind::Pht`] | pooled Hadamard transforms of chunks of rows | answers, streams of any length |
//! | [`Kind::Gaussian`] | independent normals | small problems, exact finite-sample theory |
//!
//! A [`Sketch`] is a value (kind, m, n, seed, number); nothing is sampled until it is applied. Column i of S is
//! a function of the value and of the global row index i, so rows may come in any blocks, and the sketch of
//! more rows extends the sketch of fewer.
//!
//! **Bits.** Every (row of Y, column of Y) is summed in the order of the global rows, whatever the threads and
//! wherever a stream is cut. Operators that work on aligned chunks of rows are only ever given whole chunks:
//! the [`Accumulator`] keeps the open ones.
//!
//! [`TensorSrht`] is made for Kronecker products instead, of which it needs no more than the factors.
//!
//! Files: `value` (what a sketch is), `operand` (what can be sketched), `tiles` (the layout of Y), `operator` (what a family
//! does), one file per family, `accumulator` (streams, and `apply`, which is a stream of one block), `transposed`,
//! `parameters` (in the words of the caller).

mod accumulator;
mod gaussian;
mod hadamard;
mod long;
mod operand;
mod operator;
mod parameters;
mod sparse_sign;
mod tensor;
mod tiles;
mod transposed;
mod value;

pub use accumulator::{Accumulator, Saved};
pub use hadamard::Weights;
pub use operand::Operand;
pub(crate) use parameters::{Parameter, same_parameters, shown};
pub use tensor::TensorSrht;
pub use value::{Kind, Sketch};
