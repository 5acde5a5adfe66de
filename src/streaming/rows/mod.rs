//! What comes in: chunks of rows where they lie, and what is done with them before they are summed up.
//!
//! | file | what |
//! |---|---|
//! | `chunk` | a few rows in either precision, all their numbers or what is stored of them, and their products |
//! | `heavy` | the rows of largest norm, kept as they are |
//! | `mean` | rows less their mean |
//! | `order` | whether rows come in random order |

pub mod chunk;
pub mod heavy;
pub mod mean;
pub mod order;
