//! A few rows of d numbers, and matrices as small as they are few.
//!
//! | file | what |
//! |---|---|
//! | `numbers` | numbers of a state |
//! | `combinations` | a few rows among themselves: products, combinations, bases |
//! | `near` | leading eigenpairs of a small matrix that is near one whose eigenpairs are known |

pub mod combinations;
pub mod near;
pub mod numbers;
