//! The file as written: what serde reads, with nothing checked but its shape.
//!
//! Every value may be missing and may be of any type, so that one wrong value never hides another
//! fault. Nothing outside this folder sees these types.

use std::{fmt, marker::PhantomData};

use indexmap::IndexMap;
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};

/// The whole file.
#[derive(Debug, Default, Deserialize)]
pub(super) struct File {
    /// collectd in.
    pub(super) listen: Option<Node<Listen>>,
    /// Graphite in.
    pub(super) graphite: Option<Node<Graphite>>,
    /// What goes no further.
    pub(super) filter: Option<Node<Filter>>,
    /// Where samples go; in the order of the file.
    pub(super) tiers: Option<Node<Tiers>>,
    /// Where queues go on on disk.
    pub(super) spool: Option<Node<Spool>>,
    /// The HTTP API.
    pub(super) api: Option<Node<Api>>,
    /// Noodle's part, checked here because both programs read one file.
    pub(super) fetch: Option<Node<Fetch>>,
    /// How often counters are measured.
    pub(super) measure: Option<Node<Measure>>,
    /// Bounds of the process, and defaults of the tiers.
    pub(super) limits: Option<Node<Limits>>,
}

/// `[tiers]`: names and what stands under them.
pub(super) type Tiers = IndexMap<String, Node<Tier>>;

/// `[listen]`
#[derive(Debug, Default, Deserialize)]
pub(super) struct Listen {
    pub(super) bind: Option<Leaf>,
    pub(super) typesdb: Option<Leaf>,
    pub(super) receive_buffer: Option<Leaf>,
}

/// `[graphite]`
#[derive(Debug, Default, Deserialize)]
pub(super) struct Graphite {
    pub(super) bind: Option<Leaf>,
    pub(super) pickle: Option<Leaf>,
    pub(super) receive_buffer: Option<Leaf>,
}

/// `[filter]`
#[derive(Debug, Default, Deserialize)]
pub(super) struct Filter {
    pub(super) blacklist: Option<Leaf>,
}

/// `[tiers.NAME]`
#[derive(Debug, Default, Deserialize)]
pub(super) struct Tier {
    pub(super) protocol: Option<Leaf>,
    pub(super) proto: Option<Leaf>,
    pub(super) hash: Option<Leaf>,
    pub(super) fast_hash: Option<Leaf>,
    pub(super) diverse: Option<Leaf>,
    pub(super) char: Option<Leaf>,
    pub(super) key: Option<Leaf>,
    pub(super) names: Option<Leaf>,
    pub(super) normalize_tags: Option<Leaf>,
    pub(super) allowed_characters: Option<Leaf>,
    pub(super) replicas: Option<Leaf>,
    pub(super) queue: Option<Leaf>,
    pub(super) on_full: Option<Leaf>,
    pub(super) replay: Option<Leaf>,
    pub(super) block_timeout: Option<Leaf>,
    pub(super) resend: Option<Leaf>,
    pub(super) max_packet_size: Option<Leaf>,
    pub(super) probe: Option<Leaf>,
    pub(super) targets: Option<Node<Target>>,
}

/// An inline table in `targets`.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Target {
    pub(super) address: Option<Leaf>,
    pub(super) id: Option<Leaf>,
    pub(super) instance: Option<Leaf>,
    pub(super) index: Option<Leaf>,
    pub(super) hash_as: Option<Leaf>,
    pub(super) weight: Option<Leaf>,
    pub(super) zone: Option<Leaf>,
    pub(super) probe: Option<Leaf>,
}

/// `[spool]`
#[derive(Debug, Default, Deserialize)]
pub(super) struct Spool {
    pub(super) directory: Option<Leaf>,
    pub(super) size: Option<Leaf>,
    pub(super) per_target: Option<Leaf>,
    pub(super) max_age: Option<Leaf>,
    pub(super) sync: Option<Leaf>,
    pub(super) replay_rate: Option<Leaf>,
    pub(super) on_change: Option<Leaf>,
}

/// `[api]`
#[derive(Debug, Default, Deserialize)]
pub(super) struct Api {
    pub(super) bind: Option<Leaf>,
    pub(super) agent: Option<Leaf>,
}

/// `[fetch]`
#[derive(Debug, Default, Deserialize)]
pub(super) struct Fetch {
    pub(super) bind: Option<Leaf>,
    pub(super) proxy_timeout: Option<Leaf>,
    pub(super) remote_port: Option<Leaf>,
}

/// `[measure]`
#[derive(Debug, Default, Deserialize)]
pub(super) struct Measure {
    pub(super) interval: Option<Leaf>,
}

/// `[limits]`
#[derive(Debug, Default, Deserialize)]
pub(super) struct Limits {
    pub(super) queue: Option<Leaf>,
    pub(super) block_timeout: Option<Leaf>,
    pub(super) drain_timeout: Option<Leaf>,
    pub(super) drain_delay: Option<Leaf>,
    pub(super) line: Option<Leaf>,
    pub(super) resend: Option<Leaf>,
    pub(super) connections: Option<Leaf>,
    pub(super) memory: Option<Leaf>,
    pub(super) series: Option<Leaf>,
    pub(super) names: Option<Leaf>,
}

/// A value of any type; a table is read as `T`.
#[derive(Debug)]
pub(super) enum Node<T> {
    /// A string.
    Text(String),
    /// A whole number, in decimal: it may be beyond every range.
    Integer(String),
    /// An array.
    List(Vec<Self>),
    /// A table.
    Table(T),
    /// A boolean.
    Flag(bool),
    /// A float.
    Float(f64),
}

/// A value where no table is expected.
pub(super) type Leaf = Node<NoTable>;

/// A table whose content does not matter, because it should not be there.
#[derive(Debug)]
pub(super) struct NoTable;

impl<'de> Deserialize<'de> for NoTable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Not `IgnoredAny`: that would report each key of it as unknown.
        toml::Value::deserialize(deserializer).map(|_| Self)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Node<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor(PhantomData))
    }
}

struct NodeVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for NodeVisitor<T> {
    type Value = Node<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Node::Text(text.to_owned()))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Node::Integer(number.to_string()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Node::Integer(number.to_string()))
    }

    fn visit_i128<E: Error>(self, number: i128) -> Result<Self::Value, E> {
        Ok(Node::Integer(number.to_string()))
    }

    fn visit_u128<E: Error>(self, number: u128) -> Result<Self::Value, E> {
        Ok(Node::Integer(number.to_string()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Node::Float(number))
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<Self::Value, E> {
        Ok(Node::Flag(flag))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut list = Vec::new();
        while let Some(node) = seq.next_element()? {
            list.push(node);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Node::Table)
    }
}
