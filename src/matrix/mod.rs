//! What an input is, how it is multiplied, and how its rows are cut.
//!
//! | type | what |
//! |---|---|
//! | [`Dense`], [`DenseMut`] | strided view, one axis contiguous for speed, any strides for correctness |
//! | [`Mat`] | owned, column-major, cache-line aligned, allocated fallibly |
//! | [`Sparse`] | compressed lines (CSR or CSC) with 32- or 64-bit indices |
//! | [`Unchecked`] | the same before its indices have been checked |
//! | [`Matrix`] | dense or sparse, as it came from the caller |
//! | [`LinearOperator`] | products with a matrix that is nowhere written down |
//! | [`Rows`] | anything that can show a tile of its rows as row-major `f64` |
//! | [`Products`] | anything that can be multiplied by vectors, and so can its transpose |
//! | [`ColumnNorms`] | one of these of which one read gives the norms of the columns |
//! | [`Panel`] | a few vectors side by side, for the products of some rows of a sparse matrix |
//! | [`Adjusted`] | any of them with its rows weighted, its columns centred and scaled |
//! | [`Triplets`] | entries in any order, and how they become an owned sparse matrix, [`SparseBuf`] |
//! | [`Touched`] | the columns of sparse rows that hold anything, numbered among themselves |
//! | [`Chunks`], [`Cover`] | rows of a stream that come in any cuts, handed on in aligned chunks |
//! | [`Names`] | those of its columns, the same in every block |
//! | [`Piece`], [`pieces_by_cost`] | lines of about the same cost |
//! | `row_blocks`, `sparse_blocks` | blocks of rows, by shape alone, for sums that depend on them |
//! | `blocks_by_cost` | blocks of lines for what does not |
//! | `make_rows` | rows made in blocks on all threads, where they belong |
//!
//! Views copy nothing of the caller's, and [`Rows::tile`] no more than a tile that fits the caches.

mod adjusted;
mod blocks;
mod cover;
mod dense;
mod either;
mod finite;
mod names;
mod operator;
mod owned;
mod parted;
mod products;
mod real;
mod slabs;
mod sparse;
mod stream;
mod sums;
#[cfg(test)]
pub(crate) mod testing;
mod tiles_of_sparse;
mod touched;
mod triplets;
mod turned;

pub use adjusted::{Adjusted, Source};
pub use blocks::{Piece, pieces_by_cost};
pub(crate) use blocks::{TILE_ROWS, blocks_by_cost, even_blocks, row_blocks, sparse_blocks};
pub use cover::Cover;
pub(crate) use dense::TILE;
pub use dense::{Dense, DenseMut, Rows};
pub use either::Matrix;
pub(crate) use finite::first_non_finite;
pub use names::Names;
pub use operator::LinearOperator;
pub use owned::{Buffer, Mat};
pub use products::{ColumnNorms, Panel, Products};
pub(crate) use products::{Spare, Staged, check_shapes};
pub use real::Real;
pub(crate) use real::{keep_larger, power_of_two_below};
pub(crate) use slabs::make_rows;
pub use sparse::{Axis, Indices, Sparse, SparseBuf, Unchecked, check_indices};
pub use stream::{Chunks, Ready};
pub(crate) use sums::sum_over_tiles;
pub use touched::Touched;
pub use triplets::{Repeated, Triplets};
