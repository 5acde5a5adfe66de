//! A truncated singular value decomposition that follows its matrix as that grows and changes.
//!
//! The model U S V' holds the l largest singular triplets, U m x l and V n x l. What comes in is exact for the model: after
//! an update it is the best approximation of rank l to the former model with the change (Zha and Simon 1999), in time that
//! depends on what the change touches and not on m or n (Deng et al. 2024).
//!
//! | file | what |
//! |---|---|
//! | `truncated` | the model; a change to it is worked out first, then made in a moment |
//! | `fit` | first factors, factors that are made anew, and those of two models |
//! | `append`, `delete`, `entries` | the changes |
//! | `read` | what a model says: vectors, projections, scores, principal components |
//! | `saved` | its bytes |
//! | `side` | U or V: rows that are rotated when they are read |
//! | `batch` | rows that are appended, in the columns that they touch |
//! | `ritz` | the largest singular values of a model and a batch |
//! | `changes` | the largest singular values of a model and changes to entries |
//! | `complement`, `lcov`, `extended` | the methods of Deng et al. |
//! | `dense` | the methods before |
//! | `coordinates` | a side in as many dimensions as an update touches |
//! | `probe`, `probed` | the matrix times a few random vectors, which tells how far the model is from it |
//! | `robust` | singular values that shrink, as in Frequent Directions |
//! | `ledger` | what updates have left out, and what that proves |

mod append;
mod batch;
mod changes;
mod complement;
mod coordinates;
mod delete;
mod dense;
mod entries;
mod extended;
mod fit;
mod lcov;
mod ledger;
mod probe;
mod probed;
mod read;
mod ritz;
mod robust;
mod saved;
mod side;
mod truncated;

pub use append::Method;
pub use delete::Values;
pub use fit::Fit;
pub use lcov::Directed;
pub use ledger::{Kind, Ledger};
pub use probe::Squares;
pub use read::Principal;
pub use saved::is_single;
pub use truncated::{Change, Counters, End, Moments, Policy, TruncatedSvd};
