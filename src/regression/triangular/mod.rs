//! Exact least squares of a stream, by the triangular factor of the rows [A, B] so far: d²/2 numbers, and a tile of rows
//! that waits to be complete. The factor is backward stable at any condition of A, so that answers are, too.
//!
//! | file | what is in it |
//! |---|---|
//! | `tile` | a few rows as columns |
//! | `part` | the triangle of some rows, about a point of their own |
//! | `factor` | tiles in leaves and leaves in a whole, cut by the number of rows alone |
//! | `stream` | the factor with what is known of its rows: numbers, names, shapes; its bytes |
//! | `removal` | rows taken out again |
//! | `answer` | least squares from it |

pub(crate) mod answer;
pub(crate) mod factor;
pub(crate) mod part;
pub(crate) mod removal;
pub(crate) mod stream;
pub(crate) mod tile;
