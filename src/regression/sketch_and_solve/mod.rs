//! Answers of a sketch alone: `answer` from a whole sketch, `stream` for rows that come in blocks, `row_count` for the
//! rows that a guarantee needs. Uses the sketches, and nothing of the other methods.

pub(crate) mod answer;
pub(crate) mod row_count;
pub(crate) mod stream;
