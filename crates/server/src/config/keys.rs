//! The known keys of each section, asked of serde so that no second list can fall behind.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{self, Visitor},
    forward_to_deserialize_any,
};

use super::{
    file,
    path::{KeyPath, Step},
    words,
};

/// Says what is wrong with the unknown key at `path`, and which key was probably meant.
pub(super) fn unknown(path: &KeyPath) -> String {
    let Some((parent, Step::Key(key))) = path.split_last() else {
        return "unknown key".to_owned();
    };
    let homes: Vec<&str> = sections()
        .into_iter()
        .filter(|(_, keys)| keys.contains(&key.as_str()))
        .map(|(section, _)| section)
        .collect();
    if !homes.is_empty() {
        return format!("unknown key here; it belongs in {}", homes.join(" or "));
    }
    let known = known_in(&parent);
    match words::nearest(key, known) {
        Some(nearest) => format!("unknown key; did you mean `{nearest}`?"),
        None => format!("unknown key; known here: {}", known.join(", ")),
    }
}

/// The keys that the table at `path` may have; a tier may have any name.
fn known_in(path: &KeyPath) -> &'static [&'static str] {
    let header = match path.steps() {
        [] => return keys_of::<file::File>(),
        [Step::Key(section)] => format!("[{section}]"),
        [_, _] => "[tiers.NAME]".to_owned(),
        _ => TARGET_TABLE.to_owned(),
    };
    sections().into_iter().find(|(name, _)| *name == header).map_or(&[], |(_, keys)| keys)
}

/// Every section as its header is written, with its keys.
fn sections() -> [(&'static str, &'static [&'static str]); 10] {
    [
        ("[listen]", keys_of::<file::Listen>()),
        ("[graphite]", keys_of::<file::Graphite>()),
        ("[filter]", keys_of::<file::Filter>()),
        ("[tiers.NAME]", keys_of::<file::Tier>()),
        (TARGET_TABLE, keys_of::<file::Target>()),
        ("[spool]", keys_of::<file::Spool>()),
        ("[api]", keys_of::<file::Api>()),
        ("[fetch]", keys_of::<file::Fetch>()),
        ("[measure]", keys_of::<file::Measure>()),
        ("[limits]", keys_of::<file::Limits>()),
    ]
}

/// The field names that serde looks for in `T`.
pub(super) fn keys_of<T: Deserialize<'static>>() -> &'static [&'static str] {
    T::deserialize(Probe).err().map_or(&[], |Fields(keys)| keys)
}

/// Reads nothing: it answers a struct that asks for its fields with an "error" that lists them.
struct Probe;

/// What [`Probe`] learned.
#[derive(Debug)]
struct Fields(&'static [&'static str]);

impl<'de> Deserializer<'de> for Probe {
    type Error = Fields;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Fields> {
        Err(Fields(&[]))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Fields> {
        Err(Fields(fields))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

impl de::Error for Fields {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self(&[])
    }
}

impl std::error::Error for Fields {}

impl fmt::Display for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(", "))
    }
}

/// The one kind of table without a header.
const TARGET_TABLE: &str = "a table in `targets`";
