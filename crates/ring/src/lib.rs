//! Where a key goes: the placement functions of Coco.
//!
//! A [`Ring`] is an immutable answer to one question: which of these targets own this key? It is built from
//! [`Members`] (non-empty, ids unique) and can then not fail. The answers are a published format: the same
//! members give the same owners in every version and on every CPU, and a change of placement is a migration.
//! `testdata` gives every algorithm in full, with golden vectors.
//!
//! This crate reads no clock, does no I/O and knows nothing about whether a target is up: health does not move
//! keys, only a change of membership does.
//!
//! ```
//! use coco_ring::{Algorithm, Key, Member, Members, Place, Ring, Weight};
//!
//! let member = |id: &str, weight, zone: &str| {
//!     Ok::<_, coco_ring::WeightError>(Member {
//!         id: id.to_owned(),
//!         weight: Weight::try_new(weight)?,
//!         zone: Some(zone.to_owned()),
//!         place: Place::default(),
//!     })
//! };
//! let members = Members::try_new(vec![
//!     member("store-1", 1, "north")?,
//!     member("store-2", 1, "north")?,
//!     member("store-3", 2, "south")?,
//! ])?;
//! let ring = Ring::build(Algorithm::Xxh3, &members, 2)?;
//!
//! let key = Key::new(b"web-17.example.com");
//! let ids: Vec<&str> = ring
//!     .owners(&key)
//!     .into_iter()
//!     .filter_map(|owner| members.iter().nth(usize::from(owner)))
//!     .map(|member| member.id.as_str())
//!     .collect();
//! assert_eq!(ids, ["store-3", "store-1"]); // the primary first, then the replica, in another zone
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod algorithm;
mod buckets;
mod c_relay;
mod carbon;
mod circle;
mod coco;
mod diff;
mod hash;
mod jump;
mod key;
mod member;
mod nanotube;
mod points;
#[cfg(test)]
mod recorded;
mod relay_ng;
mod rendezvous;
mod ring;
mod slots;
mod table;
mod taken;
#[cfg(test)]
mod testing;

pub use algorithm::{Algorithm, AlgorithmError, CarbonHash, CharSign, Traits};
pub use diff::{Basis, Comparison, Diff, Flow, Move, Moves};
pub use key::Key;
pub use member::{Member, Members, MembersError, Place, TargetIdx, Weight, WeightError};
pub use ring::{Cuts, Located, Owners, OwnersIter, Ring, RingError, Space, Spot};
