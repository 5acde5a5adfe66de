//! One error type: which argument is at fault, what was found in it, and what would do.

use thiserror::Error;

/// Everything that can go wrong in the core.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum Error {
    /// An array has the wrong shape.
    #[error("`{argument}` has {found}, expected {expected}")]
    Shape {
        /// Name of the argument as the caller knows it.
        argument: &'static str,
        /// What was found.
        found: String,
        /// What would do.
        expected: String,
    },
    /// A parameter or an array element is outside its domain.
    #[error("`{argument}` is {found}, expected {expected}")]
    Value {
        /// Name of the argument as the caller knows it.
        argument: &'static str,
        /// What was found.
        found: String,
        /// What would do.
        expected: String,
    },
    /// An array holds NaN or an infinity.
    #[error("`{argument}` contains {found} at {position}; every entry must be finite")]
    NonFinite {
        /// Name of the argument as the caller knows it.
        argument: &'static str,
        /// `NaN` or `infinity`.
        found: &'static str,
        /// Where the first one is, as in `[row, column]`.
        position: String,
    },
    /// An allocation whose size depends on the caller's numbers failed.
    #[error("could not allocate {bytes} bytes for {purpose}")]
    Allocation {
        /// Size of the request.
        bytes: u128,
        /// What it was for.
        purpose: &'static str,
    },
    /// Bytes that are not a state of this library, or not one of this kind.
    #[error("cannot restore the state: {0}")]
    State(String),
    /// A state that cannot be had, or changed, just now or in this process.
    #[error("{0}")]
    Busy(&'static str),
    /// An index went out of range in the middle of a call, although all were checked.
    #[error(
        "an array was written to during the call, by another thread or a callback, so that an index of it went out of \
         range ({0}); if none was, this is a defect of nearlin"
    )]
    Changed(String),
    /// The caller asked to stop (Ctrl-C); nothing was changed.
    #[error("interrupted")]
    Interrupted,
    /// A numerical step failed where the theory says it cannot: a defect of this library.
    #[error("internal error: {0}")]
    Internal(String),
}

/// `std::result::Result` with the error of this crate.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// The argument that is at fault, if one is.
    pub fn argument(&self) -> Option<&'static str> {
        match self {
            Self::Shape { argument, .. }
            | Self::Value { argument, .. }
            | Self::NonFinite { argument, .. } => Some(argument),
            _ => None,
        }
    }

    /// What is wrong, for callers who have another name for the argument: [`Display`](std::fmt::Display) without it.
    pub fn complaint(&self) -> String {
        let text = self.to_string();
        let named = self.argument().map(|argument| format!("`{argument}` "));
        named.and_then(|name| text.strip_prefix(&name).map(String::from)).unwrap_or(text)
    }

    /// A shape error from anything that can be printed.
    pub fn shape(argument: &'static str, found: impl ToString, expected: impl ToString) -> Self {
        Self::Shape { argument, found: found.to_string(), expected: expected.to_string() }
    }

    /// A domain error from anything that can be printed.
    pub fn value(argument: &'static str, found: impl ToString, expected: impl ToString) -> Self {
        Self::Value { argument, found: found.to_string(), expected: expected.to_string() }
    }

    /// The error for one non-finite element at the position described.
    pub fn non_finite(argument: &'static str, value: f64, position: impl ToString) -> Self {
        let found = if value.is_nan() { "NaN" } else { "infinity" };
        Self::NonFinite { argument, found, position: position.to_string() }
    }
}

/// Runs `work`; a panic in it becomes the error that it carries, else [`Error::Internal`], or [`Error::Changed`] where an
/// index was out of range: all indices are checked when a call begins.
pub fn catch_panic<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or_else(|payload| {
        if let Some(error) = payload.downcast_ref::<Error>() {
            return Err(error.clone());
        }
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
        let text = text.unwrap_or("a panic without a message").to_string();
        let of_index = ["out of bounds", "out of range", "slice index starts at"];
        let changed = of_index.iter().any(|words| text.contains(words));
        Err(if changed { Error::Changed(text) } else { Error::Internal(text) })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parallel::Context;

    #[test]
    fn a_panic_in_a_worker_becomes_an_error_with_its_message() {
        for threads in [1, 2] {
            let outcome = catch_panic(|| {
                Context::new(threads).map(8, |block| assert!(block != 5, "block {block} is lost"))
            });
            assert_eq!(outcome, Err(Error::Internal("block 5 is lost".into())));
        }
        assert_eq!(catch_panic(|| Ok(1)), Ok(1));
        let thrown = Error::Internal("an error that unwinds".into());
        assert_eq!(catch_panic::<()>(|| std::panic::panic_any(thrown.clone())), Err(thrown));
    }
}
