//! What a stream says, read from a copy of its state.
//!
//! | file | what |
//! |---|---|
//! | `answer` | the answer with what was measured |
//! | `stack` | directions, from those of a summary and the heavy rows |
//! | `refine` | a second pass |

pub mod answer;
pub mod refine;
pub mod stack;
