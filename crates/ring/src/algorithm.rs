//! The names of the placement algorithms.
//!
//! Invariant: a name, once published, means the same placement for ever. How each one works is not said here.

use std::fmt;
use std::str::FromStr;

/// How a ring finds the owners of a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// Our own: XXH3-64 slots whose owners are found by weighted rendezvous over the target ids.
    #[default]
    Xxh3,
    /// That of Coco 1.x, bit for bit: only the number of targets and their order count, ids do not.
    Coco,
}

impl Algorithm {
    /// Every algorithm, the default first.
    pub const ALL: [Self; 2] = [Self::Xxh3, Self::Coco];

    /// The name in configuration files and in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Xxh3 => "xxh3",
            Self::Coco => "coco",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Algorithm {
    type Err = AlgorithmError;

    fn from_str(name: &str) -> Result<Self, AlgorithmError> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.as_str() == name)
            .ok_or_else(|| AlgorithmError { seen: name.to_owned() })
    }
}

/// A text that names no algorithm; names are case-sensitive.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown hash {seen:?}: say \"xxh3\" or \"coco\"")]
pub struct AlgorithmError {
    seen: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_parse_back() {
        for algorithm in Algorithm::ALL {
            assert_eq!(algorithm.to_string().parse(), Ok(algorithm));
        }
    }

    #[test]
    fn an_unknown_name_is_shown_with_the_known_ones() {
        let error = "XXH3".parse::<Algorithm>().unwrap_err().to_string();
        assert!(error.contains("\"XXH3\""), "{error}");
        for algorithm in Algorithm::ALL {
            assert!(error.contains(algorithm.as_str()), "{error}");
        }
    }
}
