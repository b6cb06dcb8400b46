//! A second, small reading of collectd's binary protocol, independent of the one under test.
//!
//! It is for datagrams that are expected to be right: the first thing it does not understand ends
//! the reading. It keeps raw bytes so that any change on the way shows.

/// What a datagram carries.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Record {
    /// A value list.
    Values {
        /// Whose it is.
        identity: Identity,
        /// 2^-30 s since the epoch.
        time: u64,
        /// 2^-30 s.
        interval: u64,
        /// Kind (0 counter, 1 gauge, 2 derive, 3 absolute) and the eight bytes as sent.
        values: Vec<(u8, [u8; 8])>,
    },
    /// A notification.
    Notification {
        /// Whose it is; parts may be empty.
        identity: Identity,
        /// 2^-30 s since the epoch.
        time: u64,
        /// 1 failure, 2 warning, 4 okay.
        severity: u64,
        /// Text as sent.
        message: Vec<u8>,
    },
}

/// The five names, as bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity {
    /// Host.
    pub host: Vec<u8>,
    /// Plugin.
    pub plugin: Vec<u8>,
    /// Plugin instance, often empty.
    pub plugin_instance: Vec<u8>,
    /// Type.
    pub kind: Vec<u8>,
    /// Type instance, often empty.
    pub type_instance: Vec<u8>,
}

impl Record {
    /// Whose it is.
    pub fn identity(&self) -> &Identity {
        match self {
            Self::Values { identity, .. } | Self::Notification { identity, .. } => identity,
        }
    }
}

/// Reads everything up to the first thing that it does not understand.
pub fn parse(mut rest: &[u8]) -> Vec<Record> {
    let mut records = Vec::new();
    let (mut identity, mut time, mut interval, mut severity) = (Identity::default(), 0, 0, 0);
    while let [a, b, c, d, tail @ ..] = rest {
        let (part, length) = (u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d]));
        let Some(payload) = usize::from(length).checked_sub(4).and_then(|len| tail.get(..len))
        else {
            break;
        };
        rest = &tail[payload.len()..];
        let text = || payload.strip_suffix(b"\0").unwrap_or(payload).to_vec();
        let number = || payload.try_into().map_or(0, u64::from_be_bytes);
        match part {
            0x0000 => identity.host = text(),
            0x0002 => identity.plugin = text(),
            0x0003 => identity.plugin_instance = text(),
            0x0004 => identity.kind = text(),
            0x0005 => identity.type_instance = text(),
            0x0001 => time = number() << 30,
            0x0007 => interval = number() << 30,
            0x0008 => time = number(),
            0x0009 => interval = number(),
            0x0101 => severity = number(),
            0x0006 => {
                let Some(values) = values(payload) else { break };
                records.push(Record::Values { identity: identity.clone(), time, interval, values });
            }
            0x0100 => records.push(Record::Notification {
                identity: identity.clone(),
                time,
                severity,
                message: text(),
            }),
            _ => {}
        }
    }
    records
}

fn values(payload: &[u8]) -> Option<Vec<(u8, [u8; 8])>> {
    let (count, payload) = payload.split_first_chunk::<2>()?;
    let count = usize::from(u16::from_be_bytes(*count));
    let (kinds, values) = payload.split_at_checked(count)?;
    let (values, rest) = values.as_chunks::<8>();
    (values.len() == count && rest.is_empty())
        .then(|| kinds.iter().copied().zip(values.iter().copied()).collect())
}

/// A datagram with one gauge of `host`, `kind` "gauge", at `seconds` with an interval of 10 s.
pub fn gauge(host: &str, plugin: &str, type_instance: &str, seconds: u64, value: f64) -> Vec<u8> {
    let mut datagram = Vec::new();
    let texts = [(0, host), (2, plugin), (3, ""), (4, "gauge"), (5, type_instance)];
    for (part, text) in texts {
        put(&mut datagram, part, &[text.as_bytes(), b"\0"].concat());
    }
    put(&mut datagram, 8, &(seconds << 30).to_be_bytes());
    put(&mut datagram, 9, &(10_u64 << 30).to_be_bytes());
    // Count, kind gauge, and the one number of the protocol that is little-endian.
    put(&mut datagram, 6, &[&[0, 1, 1][..], &value.to_le_bytes()].concat());
    datagram
}

fn put(datagram: &mut Vec<u8>, part: u16, payload: &[u8]) {
    let length = u16::try_from(payload.len() + 4).expect("parts of test datagrams are short");
    datagram.extend(part.to_be_bytes());
    datagram.extend(length.to_be_bytes());
    datagram.extend(payload);
}
