//! How far a factor and an answer are from what they should be. May use the methods; measures, and never mends.
//!
//! | file | what it does |
//! |---|---|
//! | `spectrum` | a proof of how far a factor is from that of A |
//! | `forward` | how far an answer is from the minimiser, for every coefficient |
//! | `verify` | a second look at answers, with a fresh sketch |

pub(crate) mod forward;
pub(crate) mod spectrum;
pub(crate) mod verify;
