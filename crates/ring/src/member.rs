//! Who may own keys: the members of a ring.
//!
//! Invariant: [`Members`] is never empty, holds no id twice and has at most 4,096 targets, so that every ring built
//! from it has an owner for every key and every [`TargetIdx`] fits 16 bits. Addresses and health are not known here:
//! a target's place on a ring comes from its id, or on the rings of other relays from what these look at.

use std::collections::HashMap;
use std::slice;

/// The targets of a ring, in the order given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Members(Box<[Member]>);

impl Members {
    /// More targets than this would get too few slots each for fair shares, and too long a build.
    pub(crate) const COUNT_MAX: usize = 4_096;

    /// Checks the list and keeps its order; positions in errors are 0-based.
    ///
    /// # Errors
    /// When the list is empty, longer than 4,096, or holds an id twice (compared byte by byte).
    pub fn try_new(members: Vec<Member>) -> Result<Self, MembersError> {
        if members.is_empty() {
            return Err(MembersError::Empty);
        }
        if members.len() > Self::COUNT_MAX {
            return Err(MembersError::TooMany { count: members.len() });
        }
        let mut seen = HashMap::with_capacity(members.len());
        for (second, member) in members.iter().enumerate() {
            if let Some(first) = seen.insert(member.id.as_str(), second) {
                return Err(MembersError::Duplicate { id: member.id.clone(), first, second });
            }
        }
        Ok(Self(members.into_boxed_slice()))
    }

    /// The members in the order given: the n-th has `TargetIdx` n.
    pub fn iter(&self) -> slice::Iter<'_, Member> {
        self.0.iter()
    }

    /// The member that a position stands for.
    pub(crate) fn get(&self, target: TargetIdx) -> Option<&Member> {
        self.0.get(usize::from(target))
    }

    /// The id of the member that a position stands for.
    pub(crate) fn id(&self, target: TargetIdx) -> String {
        self.get(target).map(|member| member.id.clone()).unwrap_or_default()
    }

    /// How many there are: 1..=4,096.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl<'a> IntoIterator for &'a Members {
    type Item = &'a Member;
    type IntoIter = slice::Iter<'a, Member>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Why a list of members was refused; nothing was built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MembersError {
    /// There is no target at all.
    #[error("no targets: a ring needs at least one")]
    Empty,
    /// There are more targets than a ring takes.
    #[error("{count} targets: a ring takes at most {max}", max = Members::COUNT_MAX)]
    TooMany {
        /// How many were given.
        count: usize,
    },
    /// Two targets have one id, so their keys could not be told apart.
    #[error(
        "target id {id:?} stands at positions {first} and {second}: give each target its own id"
    )]
    Duplicate {
        /// The id that both have.
        id: String,
        /// The earlier position, 0-based.
        first: usize,
        /// The later position, 0-based.
        second: usize,
    },
}

/// One target as a ring sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// What places it on an `xxh3` ring; it outlives any address.
    pub id: String,
    /// Its share, relative to the other members' weights.
    pub weight: Weight,
    /// What it fails together with (a rack, a site); without one it fails alone.
    pub zone: Option<String>,
    /// What places it on the rings of other relays.
    pub place: Place,
}

/// What the rings of other relays hash in place of an id; `xxh3` and `coco` do not look at it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Host name or address as the other relay's configuration writes it, IPv6 without brackets; empty: none.
    pub host: String,
    /// Port; carbon-c-relay takes 2003 where none is given.
    pub port: u16,
    /// carbon's and carbon-c-relay's instance.
    pub instance: Option<String>,
    /// nanotube's index, from 0.
    pub index: Option<u16>,
}

/// A member's share of the keys relative to the others: 1..=100, 1 by default.
///
/// The range is bounded so that costs compare exactly in 64 bits; fleets rarely mix machines further apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Weight(u8);

impl Weight {
    const MAX: u8 = 100;

    /// Checks the range.
    ///
    /// # Errors
    /// When the weight is not within 1..=100.
    pub fn try_new(weight: u64) -> Result<Self, WeightError> {
        match u8::try_from(weight) {
            Ok(fits @ 1..=Self::MAX) => Ok(Self(fits)),
            Ok(_) | Err(_) => Err(WeightError { seen: weight }),
        }
    }

    /// The weight, 1..=100.
    #[must_use]
    pub fn get(self) -> u64 {
        u64::from(self.0)
    }
}

impl Default for Weight {
    fn default() -> Self {
        Self(1)
    }
}

impl TryFrom<u64> for Weight {
    type Error = WeightError;

    fn try_from(weight: u64) -> Result<Self, WeightError> {
        Self::try_new(weight)
    }
}

/// A weight out of range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("weight {seen}: it must be within 1 and {max}", max = Weight::MAX)]
pub struct WeightError {
    seen: u64,
}

/// A target's 0-based position in its ring's [`Members`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetIdx(u16);

impl TargetIdx {
    /// Pairs each member with its position; the only way to make a `TargetIdx`.
    pub(crate) fn each(members: &Members) -> impl Iterator<Item = (Self, &Member)> {
        (0..=u16::MAX).map(Self).zip(members)
    }
}

impl From<TargetIdx> for usize {
    fn from(idx: TargetIdx) -> Self {
        Self::from(idx.0)
    }
}

impl From<TargetIdx> for u16 {
    fn from(idx: TargetIdx) -> Self {
        idx.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(ids: &[&str]) -> Result<Members, MembersError> {
        Members::try_new(
            ids.iter()
                .map(|&id| Member {
                    id: id.to_owned(),
                    weight: Weight::default(),
                    zone: None,
                    place: Place::default(),
                })
                .collect(),
        )
    }

    #[test]
    fn order_is_kept() {
        let members = members(&["b", "a", "c"]).unwrap();
        assert_eq!(members.len(), 3);
        assert_eq!(members.iter().map(|m| m.id.as_str()).collect::<Vec<_>>(), ["b", "a", "c"]);
        let positions: Vec<usize> = TargetIdx::each(&members).map(|(i, _)| i.into()).collect();
        assert_eq!(positions, [0, 1, 2]);
    }

    #[test]
    fn faults_name_what_was_seen() {
        assert_eq!(members(&[]), Err(MembersError::Empty));
        let error = members(&["a", "b", "c", "b", "a"]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "target id \"b\" stands at positions 1 and 3: give each target its own id"
        );
        let ids: Vec<String> = (0..=Members::COUNT_MAX).map(|i| i.to_string()).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        assert_eq!(members(&ids), Err(MembersError::TooMany { count: 4_097 }));
        assert_eq!(members(&ids[1..]).unwrap().len(), 4_096);
    }

    #[test]
    fn ids_differ_by_bytes_not_by_looks() {
        assert!(members(&["a", "A", "", " ", "a ", "\u{e9}", "e\u{301}"]).is_ok());
    }

    #[test]
    fn weights_are_1_to_100() {
        assert_eq!(Weight::default().get(), 1);
        for good in [1, 2, 99, 100] {
            assert_eq!(Weight::try_from(good).map(Weight::get), Ok(good));
        }
        for bad in [0, 101, 256, 257, u64::MAX] {
            let error = Weight::try_new(bad).unwrap_err().to_string();
            assert_eq!(error, format!("weight {bad}: it must be within 1 and 100"));
        }
    }
}
