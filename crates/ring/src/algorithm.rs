//! The names of the placement algorithms, and what each of them looks at.
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
    /// carbon's `consistent-hashing`: a ring of 100 points a target, on which collided points move up.
    Carbon {
        /// `ROUTER_HASH_TYPE`
        hash: CarbonHash,
        /// `DIVERSE_REPLICAS`: no two owners on one host.
        diverse: bool,
    },
    /// carbon's `fast-hashing`: the hash modulo the number of targets.
    CarbonFast {
        /// `ROUTER_HASH_TYPE`; carbon's own default here is `mmh3_ch`.
        hash: CarbonHash,
        /// `DIVERSE_REPLICAS`: no two owners on one host.
        diverse: bool,
    },
    /// carbon-c-relay's `carbon_ch`: a ring of 100 points a target, on which collided points share an owner.
    CRelayCarbonCh,
    /// carbon-c-relay's `fnv1a_ch`.
    CRelayFnv1aCh(CharSign),
    /// carbon-c-relay's `jump_fnv1a_ch`.
    CRelayJump(CharSign),
    /// carbon-c-relay's `any_of`, while all targets are up.
    CRelayAnyOf(CharSign),
    /// nanotube's `jump`.
    NanotubeJump,
    /// carbon-relay-ng's `consistentHashing`.
    RelayNgV1,
    /// carbon-relay-ng's `consistentHashing-v2`.
    RelayNgV2,
}

/// carbon's `ROUTER_HASH_TYPE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CarbonHash {
    /// The first 16 bits of MD5.
    CarbonCh,
    /// FNV-1a of 32 bits, folded to 16.
    Fnv1aCh,
    /// MurmurHash3 of 32 bits.
    Mmh3Ch,
}

impl CarbonHash {
    /// carbon's name for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CarbonCh => "carbon_ch",
            Self::Fnv1aCh => "fnv1a_ch",
            Self::Mmh3Ch => "mmh3_ch",
        }
    }
}

/// Whether a C `char` is signed where the carbon-c-relay to be matched was compiled: it then hashes bytes of 0x80 and
/// above otherwise than FNV-1a says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CharSign {
    /// x86-64.
    #[default]
    Signed,
    /// AArch64 Linux.
    Unsigned,
}

impl Algorithm {
    /// Every algorithm with its original's own defaults, the default first.
    pub const ALL: [Self; 13] = [
        Self::Xxh3,
        Self::Coco,
        Self::Carbon { hash: CarbonHash::CarbonCh, diverse: true },
        Self::Carbon { hash: CarbonHash::Fnv1aCh, diverse: true },
        Self::Carbon { hash: CarbonHash::Mmh3Ch, diverse: true },
        Self::CarbonFast { hash: CarbonHash::Mmh3Ch, diverse: true },
        Self::CRelayCarbonCh,
        Self::CRelayFnv1aCh(CharSign::Signed),
        Self::CRelayJump(CharSign::Signed),
        Self::CRelayAnyOf(CharSign::Signed),
        Self::NanotubeJump,
        Self::RelayNgV1,
        Self::RelayNgV2,
    ];

    /// The name in configuration files and in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Xxh3 => "xxh3",
            Self::Coco => "coco",
            Self::Carbon { hash: CarbonHash::CarbonCh, .. } => "carbon/carbon_ch",
            Self::Carbon { hash: CarbonHash::Fnv1aCh, .. } => "carbon/fnv1a_ch",
            Self::Carbon { hash: CarbonHash::Mmh3Ch, .. } => "carbon/mmh3_ch",
            Self::CarbonFast { .. } => "carbon/fast",
            Self::CRelayCarbonCh => "c-relay/carbon_ch",
            Self::CRelayFnv1aCh(_) => "c-relay/fnv1a_ch",
            Self::CRelayJump(_) => "c-relay/jump_fnv1a_ch",
            Self::CRelayAnyOf(_) => "c-relay/any_of",
            Self::NanotubeJump => "nanotube/jump",
            Self::RelayNgV1 => "relay-ng/v1",
            Self::RelayNgV2 => "relay-ng/v2",
        }
    }

    /// The program that it is copied from.
    pub(crate) const fn original(self) -> &'static str {
        match self {
            Self::Xxh3 => "coco",
            Self::Coco => "coco 1.x",
            Self::Carbon { .. } | Self::CarbonFast { .. } => "carbon",
            Self::CRelayCarbonCh
            | Self::CRelayFnv1aCh(_)
            | Self::CRelayJump(_)
            | Self::CRelayAnyOf(_) => "carbon-c-relay",
            Self::NanotubeJump => "nanotube",
            Self::RelayNgV1 | Self::RelayNgV2 => "carbon-relay-ng",
        }
    }

    /// What the placement depends on.
    #[must_use]
    pub const fn traits(self) -> Traits {
        const NONE: Traits = Traits {
            id: false,
            host: false,
            port: false,
            instance: false,
            index: false,
            order: false,
            weights: false,
            replicas: false,
            targets_max: usize::MAX,
        };
        const C_RELAY: Traits = Traits { replicas: true, targets_max: 128, ..NONE };
        match self {
            Self::Xxh3 => Traits { id: true, weights: true, replicas: true, ..NONE },
            Self::Coco => Traits { order: true, targets_max: 100, ..NONE },
            // `fnv1a_ch` hashes the instance alone, but the host tells targets apart and spreads replicas.
            Self::Carbon { .. } => {
                Traits { host: true, instance: true, order: true, replicas: true, ..NONE }
            }
            Self::CarbonFast { .. } => {
                Traits { host: true, instance: true, replicas: true, ..NONE }
            }
            Self::CRelayCarbonCh => Traits { host: true, instance: true, ..C_RELAY },
            Self::CRelayFnv1aCh(_) => Traits { host: true, port: true, instance: true, ..C_RELAY },
            Self::CRelayJump(_) => Traits { instance: true, order: true, ..C_RELAY },
            Self::CRelayAnyOf(_) => Traits { order: true, replicas: false, ..C_RELAY },
            Self::NanotubeJump => Traits { index: true, ..NONE },
            Self::RelayNgV1 => Traits { host: true, instance: true, ..NONE },
            Self::RelayNgV2 => Traits { host: true, instance: true, order: true, ..NONE },
        }
    }
}

/// What a placement depends on besides the number of targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traits {
    /// The id of a target.
    pub id: bool,
    /// The host in its [`Place`](crate::Place).
    pub host: bool,
    /// The port in its place.
    pub port: bool,
    /// The instance in its place.
    pub instance: bool,
    /// The index in its place.
    pub index: bool,
    /// The order in which the targets are listed. Under carbon-c-relay's `jump_fnv1a_ch` it counts only between targets
    /// without an instance, with equal ones, or with numbers among other texts. On its rings it counts only between
    /// targets that have one host and instance (`carbon_ch`) or one host and port (`fnv1a_ch`), and is not said to
    /// count.
    pub order: bool,
    /// Their weights and zones.
    pub weights: bool,
    /// A key may have more owners than one.
    pub replicas: bool,
    /// Most targets that the original takes.
    pub targets_max: usize,
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Algorithm {
    type Err = AlgorithmError;

    /// The algorithm with its original's own defaults.
    fn from_str(name: &str) -> Result<Self, AlgorithmError> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.as_str() == name)
            .ok_or_else(|| AlgorithmError { seen: name.to_owned() })
    }
}

/// A text that names no algorithm; names are case-sensitive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlgorithmError {
    seen: String,
}

impl fmt::Display for AlgorithmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown hash {:?}: say one of", self.seen)?;
        Algorithm::ALL.iter().try_for_each(|algorithm| write!(f, " \"{algorithm}\""))
    }
}

impl std::error::Error for AlgorithmError {}

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
