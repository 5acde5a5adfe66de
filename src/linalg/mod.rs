//! Small dense linear algebra: the only user of faer.
//!
//! Everything here runs in sequence on the calling thread, inside the blocks that the columns hand to
//! [`crate::parallel`], but for what takes a [`crate::parallel::Context`], which spreads its work itself.
//!
//! | function | what |
//! |---|---|
//! | [`matmul`], [`product`], [`syrk`] | products of dense views |
//! | [`Products`](crate::matrix::Products) of dense arrays, and of dense or sparse ones | A X and A'Y of tall matrices, on all threads |
//! | [`cholesky()`], [`parallel_cholesky`] | upper triangle R with R'R = G |
//! | `pivoted_cholesky` | the same of a G that may be singular, as far as it goes |
//! | [`cholesky_in_place()`], [`solve_systems`] | the same of small G where they lie, and many small systems |
//! | [`Systems`] | many systems of a smaller order side by side |
//! | [`solve_upper`], [`solve_upper_transposed`], [`invert_upper`], [`multiply_upper`] | upper triangles at work |
//! | [`condition_of_upper`], [`norm_of_upper`] | 2-norm condition and norm of a triangle, estimated in O(d²) |
//! | `Quadrature` | bounds on |(M + w²)^(-1/2) g| from the coefficients of conjugate gradients |
//! | `reflect_columns` | Householder QR of a few columns where they lie |
//! | [`Qr`] | blocked Householder QR that keeps Q in factored form |
//! | [`gram()`], [`whitened_gram`] | A'A and (A W)'(A W) of tall matrices in one read |
//! | `weighted_whitened_gram` | the latter with rows weighted by what they are |
//! | `precisions`, [`matrix_unit`] | in which precision products of many columns are, and what multiplies them |
//! | [`leverages`] | squared norms of the rows of A W |
//! | [`orthonormal()`], [`cholesky_qr2`] | orthonormal bases of tall blocks |
//! | `add_product`, `add_transposed_product` | rows times many vectors at once, a `Batch` of them |
//! | [`sparse_gram`], [`gram_of_rows`], [`quadratic_forms`] | A'A, E E' and v'G v of sparse rows |
//! | `sparse_products` | A'A of sparse rows as a sparse matrix, and what is made of it: [`SparseTriangle`] |
//! | [`tsqr()`] | R of a matrix with many rows |
//! | `Triangle` | R of rows that are appended block by block |
//! | [`svd()`], [`eigh()`] | thin SVD, symmetric eigendecomposition |
//! | [`svd_apart`], [`eigh_apart`], [`apart()`] | the same, and anything, on a thread of its own if that takes long |
//! | [`svd_into`], [`eigh_into`] | the same of small matrices, `f32` too, in memory that the caller lends ([`Scratch`]) |
//! | [`leading_eigh_into`] | the largest eigenvalues of a symmetric matrix and their vectors, alike |
//! | `Resolvents` | (A + s)^-1 of a symmetric matrix for many s |
//! | [`arrow_eigh_into`] | those of a diagonal matrix with a row and a column beside it, in O(d²) |
//! | `largest_of` and its kin | units in which squares neither overflow nor vanish |
//!
//! Iterations are not believed on their word: what they return is checked against A on a random vector, and there
//! is a second algorithm behind the first, and Jacobi's method behind both.
//!
//! Shapes are the caller's responsibility: functions without a `Result` panic on shapes that do not fit,
//! as slices do. Values never panic, whatever they are, and memory that cannot be had is an error;
//! where that is the buffer which faer's products keep for each thread, twice the last-level cache, it unwinds.

mod apart;
mod append;
mod arrow;
mod batch;
mod cholesky;
mod columns;
mod condition;
mod digits;
mod doubt;
mod eigh;
mod factor;
mod gram;
mod householder;
mod jacobi;
mod kernel;
mod leading;
mod orthonormal;
mod panel;
mod pivoted;
mod precision;
mod products;
mod qr;
mod quadrature;
mod rank;
mod reflect;
mod resolvents;
mod rows;
mod scaling;
mod slabs;
mod small;
mod sources;
mod sparse;
mod sparse_cholesky;
mod svd;
mod systems;
#[cfg(test)]
pub(crate) mod testing;
mod triangle;
mod tridiagonal;
mod tridiagonalise;
mod tsqr;
mod unit;
mod view;
mod whiten;

pub use apart::{apart, eigh_apart, svd_apart};
pub(crate) use append::{Appending, Triangle};
pub use arrow::{arrow_eigh_into, arrow_eigh_scratch};
pub(crate) use batch::{
    BATCH_ROWS, Batch, SIDES, SUM_DEPTH, add_product, add_transposed_product, batch_rows, fit,
};
pub use cholesky::{cholesky, parallel_cholesky};
pub use columns::norm;
pub(crate) use columns::{normalise_columns, normalised, project};
pub use condition::{condition_of_upper, norm_of_upper};
pub use eigh::{eigh, eigh_into, eigh_scratch};
pub use factor::Factor;
pub use gram::gram;
pub(crate) use gram::plain_gram;
pub use leading::{leading_eigh_into, leading_eigh_scratch};
pub(crate) use orthonormal::{WELL_CONDITIONED, over_triangle};
pub use orthonormal::{cholesky_qr2, orthonormal};
pub(crate) use pivoted::{Pivoted, pivoted_cholesky};
pub use precision::Precision;
pub use products::{matmul, product, syrk};
pub use qr::Qr;
pub(crate) use quadrature::{Quadrature, smallest_eigenvalue};
pub(crate) use rank::{
    LEAST, RCOND, Truncated, cut_beyond, cut_off, empty_columns, pseudo_inverse, rank_beside, rank_of,
    truncated,
};
pub(crate) use reflect::reflect_columns;
pub(crate) use resolvents::Resolvents;
pub(crate) use scaling::{exponent_of, largest_of, times_power_of_two};
pub use slabs::Sum;
pub use small::{cholesky_in_place, solve_systems};
pub use sparse::{gram_of_rows, quadratic_forms, sparse_gram};
pub use sparse_cholesky::SparseTriangle;
pub(crate) use sparse_cholesky::{SparseGram, SparseOrder, sparse_products};
pub use svd::{Svd, svd, svd_into, svd_scratch};
pub use systems::Systems;
pub use triangle::{invert_upper, multiply_upper, solve_upper, solve_upper_transposed};
pub(crate) use tsqr::block_rows;
pub use tsqr::tsqr;
pub use unit::matrix_unit;
pub(crate) use unit::{is_beyond_rounding, precision_of_whitened, precisions, relative_rounding};
pub(crate) use view::make_workspace;
pub use view::{Scalar, Scratch, ScratchSize};
pub use whiten::leverages;
pub(crate) use whiten::weighted_whitened_gram;
pub use whiten::{Product, whitened_gram};
