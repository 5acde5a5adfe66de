//! Names of the columns of a stream, where its blocks have any.

use crate::error::{Error, Result};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::sync::Arc;

/// One for every column, or none at all.
#[derive(Clone, Debug, Default)]
pub struct Names(Option<Arc<Vec<String>>>);

impl Names {
    /// These.
    pub fn new(names: Option<Vec<String>>) -> Self {
        Self(names.map(Arc::new))
    }

    /// One after the other.
    pub fn as_slice(&self) -> Option<&[String]> {
        self.0.as_ref().map(|names| names.as_slice())
    }

    /// Whether so many columns may have them.
    pub fn fit(&self, columns: usize) -> bool {
        self.0.as_ref().is_none_or(|names| names.len() == columns)
    }

    /// An error unless so many columns may have them.
    pub fn check(&self, argument: &'static str, columns: usize) -> Result<()> {
        let count = self.0.as_ref().map_or(0, |names| names.len());
        let found = || format!("names of {count} columns");
        if self.fit(columns) { Ok(()) } else { Err(Error::shape(argument, found(), columns)) }
    }

    /// Those of both, which must be the same where both have any.
    pub fn joined(&self, argument: &'static str, others: &Self) -> Result<Self> {
        if let (Some(ours), Some(theirs)) = (&self.0, &others.0)
            && let Some(j) = (0..ours.len().max(theirs.len())).find(|&j| ours.get(j) != theirs.get(j))
        {
            let name = |names: &[String]| names.get(j).map_or("none".to_string(), |name| format!("{name:?}"));
            let found = format!("a matrix whose column {j} is {}", name(theirs));
            return Err(Error::value(
                argument,
                found,
                format!("{} there, as in the rows before", name(ours)),
            ));
        }
        Ok(if self.0.is_some() { self.clone() } else { others.clone() })
    }
}

impl Serialize for Names {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        self.as_slice().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        Option::deserialize(deserializer).map(Self::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_whoever_has_any_and_differ_by_column() {
        let of = |names: &[&str]| Names::new(Some(names.iter().map(|name| name.to_string()).collect()));
        let (none, ours) = (Names::default(), of(&["a", "b"]));
        for names in [none.joined("A", &ours), ours.joined("A", &none), ours.joined("A", &ours)] {
            assert_eq!(names.unwrap().as_slice(), ours.as_slice());
        }
        let told = |others: &[&str]| ours.joined("A", &of(others)).unwrap_err().to_string();
        assert!(told(&["a", "c"]).contains("column 1 is \"c\", expected \"b\""), "{}", told(&["a", "c"]));
        assert!(told(&["a"]).contains("column 1 is none, expected \"b\""), "{}", told(&["a"]));
        assert!(ours.fit(2) && !ours.fit(3) && none.fit(3) && ours.check("A", 3).is_err());
    }
}
