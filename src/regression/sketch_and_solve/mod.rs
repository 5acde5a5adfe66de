//! Answers of a sketch alone, at once and for rows that come in blocks.

pub(crate) mod answer;
pub(crate) mod row_count;
pub(crate) mod stream;
