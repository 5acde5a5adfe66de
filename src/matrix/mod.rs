//! What an input is: a dense strided view or a compressed sparse view of somebody else's memory.
//!
//! | type | what |
//! |---|---|
//! | [`Dense`], [`DenseMut`] | strided view, one axis contiguous for speed, any strides for correctness |
//! | [`Mat`] | owned, column-major, cache-line aligned, allocated fallibly |
//! | [`zeros()`], [`room_for`] | vectors, from [`crate::memory`] |
//! | [`Sparse`] | compressed lines (CSR or CSC) with 32- or 64-bit indices |
//! | [`Unchecked`] | the same before its indices have been checked |
//! | [`Matrix`] | dense or sparse, as it came from the caller |
//! | [`LinearOperator`] | products with a matrix that is nowhere written down |
//! | [`Rows`] | anything that can show a tile of its rows as row-major `f64` |
//! | [`Products`] | anything that can be multiplied by vectors, and so can its transpose |
//! | [`Adjusted`] | any of them with its rows weighted, its columns centred and scaled |
//! | [`Triplets`] | entries in any order, and how they become an owned sparse matrix, [`SparseBuf`] |
//! | [`Chunks`], [`Cover`] | rows of a stream that come in any cuts, handed on in aligned chunks |
//! | [`Piece`], [`pieces_by_cost`] | lines of about the same cost |
//!
//! Nothing here copies the caller's data but [`Rows::tile`], whose buffer is a cache-sized tile.

mod adjusted;
mod blocks;
mod cover;
mod dense;
mod either;
mod operator;
mod owned;
mod products;
mod real;
mod sparse;
mod stream;
mod sums;
#[cfg(test)]
pub(crate) mod testing;
mod tiles_of_sparse;
mod triplets;

pub use crate::memory::{room_for, zeros};
pub use adjusted::{Adjusted, Source};
pub use blocks::{Piece, pieces_by_cost};
pub(crate) use blocks::{TILE_ROWS, blocks_by_cost, make_rows, row_blocks, row_step, sparse_blocks};
pub use cover::Cover;
pub(crate) use dense::TILE;
pub use dense::{Dense, DenseMut, Rows};
pub use either::Matrix;
pub use operator::LinearOperator;
pub use owned::{Buffer, Mat};
pub use products::{ColumnNorms, Panel, Products};
pub(crate) use products::{Spare, Staged, check_shapes};
pub use real::Real;
pub use sparse::{Axis, Indices, Sparse, SparseBuf, Unchecked, check_indices};
pub use stream::{Chunks, Ready};
pub(crate) use sums::sum_over_tiles;
pub use triplets::Triplets;
