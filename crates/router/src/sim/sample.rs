//! Samples that can be told apart: the name tells the key, the value the number within the key, and the time
//! is a hash of both, so that altered bytes show.

use coco_wire::{
    collectd::{Decoder, Identity, Item, Kind, Packer, ValueList, Values},
    pickle,
};

use super::random::mix;
use crate::plan::{KeyRule, TargetProtocol};

/// Keys from here on are hosts of collectd; those below are names of lines.
pub(super) const COLLECTD_KEYS: u32 = 1000;

/// One sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Sample {
    pub(super) key: u32,
    pub(super) number: u32,
}

impl Sample {
    pub(super) fn is_line(self) -> bool {
        self.key < COLLECTD_KEYS
    }

    pub(super) fn hash(self) -> u64 {
        mix(mix(self.key.into()) ^ u64::from(self.number))
    }

    fn time(self) -> u64 {
        1_700_000_000 + self.hash() % 1_000_000
    }

    /// Some names have tags, not in their order.
    fn name(self) -> String {
        let tags = if self.key % 4 == 3 { ";b=1;a=2" } else { "" };
        format!("sim.k{}{tags}", self.key)
    }

    fn host(self) -> String {
        format!("h{}", self.key)
    }

    /// What a tier hashes.
    pub(super) fn placed_by(self, rule: KeyRule) -> String {
        match (self.is_line(), rule) {
            (true, _) => self.name().replace(";b=1;a=2", ";a=2;b=1"),
            (false, KeyRule::Host) => self.host(),
            (false, KeyRule::Series) => format!("{}/sim/gauge", self.host()),
        }
    }

    /// What the filter sees begins so.
    pub(super) fn is_filtered_by(self, number: u32) -> bool {
        self.key % 10 == number
    }

    pub(super) fn line(self) -> String {
        format!("{} {} {}\n", self.name(), self.number, self.time())
    }

    fn of_line(line: &[u8]) -> Result<Self, String> {
        let text = str::from_utf8(line).map_err(|error| error.to_string())?;
        let alien = || format!("{text:?} was never sent");
        let (name, rest) = text.split_once(' ').ok_or_else(alien)?;
        let (number, _) = rest.split_once(' ').ok_or_else(alien)?;
        let sample = Self { key: key_of(name).ok_or_else(alien)?, number: parse(number)? };
        if sample.line() == text { Ok(sample) } else { Err(alien()) }
    }

    fn of_point(point: &pickle::Datapoint<'_>) -> Result<Self, String> {
        let name = String::from_utf8_lossy(point.name).into_owned();
        let alien = || format!("{point:?} was never sent");
        let sample =
            Self { key: key_of(&name).ok_or_else(alien)?, number: whole(point.value.to_f64())? };
        let time = point.time.map(pickle::Number::to_f64);
        let is_same = sample.name() == name
            && point.value.to_f64() == f64::from(sample.number)
            && time == Some(sample.time() as f64);
        if is_same { Ok(sample) } else { Err(alien()) }
    }

    fn of_list(list: &ValueList<'_>) -> Result<Self, String> {
        let alien = || format!("{list:?} was never sent");
        let host = String::from_utf8_lossy(list.identity.host).into_owned();
        let key = host.strip_prefix('h').and_then(|key| key.parse().ok()).ok_or_else(alien)?;
        let raw = list.values.raw().first_chunk::<8>().ok_or_else(alien)?;
        let sample = Self { key, number: whole(f64::from_le_bytes(*raw))? };
        let host = sample.host();
        let bytes = f64::from(sample.number).to_le_bytes();
        let is_same = sample.with_list(&host, &bytes, |sent| {
            (sent.identity, sent.time, sent.values.raw())
                == (list.identity, list.time, list.values.raw())
        });
        if is_same { Ok(sample) } else { Err(alien()) }
    }

    fn with_list<T>(self, host: &str, raw: &[u8], then: impl FnOnce(&ValueList<'_>) -> T) -> T {
        let [host, plugin, type_] = [host.as_bytes(), b"sim", b"gauge"];
        let identity = Identity { host, plugin, type_, ..Identity::default() };
        let kinds = [Kind::Gauge.to_wire()];
        let values = Values::try_new(&kinds, raw).unwrap();
        then(&ValueList { identity, time: self.time() << 30, interval: 10 << 30, values })
    }
}

fn key_of(name: &str) -> Option<u32> {
    name.split(';').next()?.strip_prefix("sim.k")?.parse().ok()
}

fn whole(number: f64) -> Result<u32, String> {
    parse(&number.to_string())
}

fn parse(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| format!("{text:?} is no number that was sent"))
}

/// One datagram of collectd.
pub(super) fn datagram(samples: &[Sample]) -> Vec<u8> {
    let mut packer = Packer::new(65_000);
    let mut out = Vec::new();
    packer.begin(0);
    for sample in samples {
        let raw = f64::from(sample.number).to_le_bytes();
        sample.with_list(&sample.host(), &raw, |list| packer.push(&mut out, list).unwrap());
    }
    out
}

/// Takes the whole units from the beginning of what came over a connection.
pub(super) fn take_units(
    bytes: &mut Vec<u8>,
    protocol: TargetProtocol,
) -> Result<Vec<Sample>, String> {
    let mut samples = Vec::new();
    let mut end = 0;
    if protocol == TargetProtocol::Pickle {
        while let Some((length, rest)) = bytes[end..].split_first_chunk::<4>()
            && let Some(frame) = rest.get(..u32::from_be_bytes(*length) as usize)
        {
            let mut points = Vec::new();
            pickle::decode(frame, |point| {
                points.push(point.map_err(|e| e.to_string()).and_then(|p| Sample::of_point(&p)));
            })
            .map_err(|error| error.to_string())?;
            samples.extend(points.into_iter().collect::<Result<Vec<_>, _>>()?);
            end += 4 + frame.len();
        }
    } else {
        while let Some(length) = memchr::memchr(b'\n', &bytes[end..]) {
            samples.push(Sample::of_line(&bytes[end..=end + length])?);
            end += length + 1;
        }
    }
    bytes.drain(..end);
    Ok(samples)
}

/// What is in a datagram.
pub(super) fn in_datagram(
    datagram: &[u8],
    protocol: TargetProtocol,
) -> Result<Vec<Sample>, String> {
    if protocol == TargetProtocol::LineUdp {
        let mut lines = datagram.to_vec();
        let samples = take_units(&mut lines, protocol)?;
        return if lines.is_empty() { Ok(samples) } else { Err("a cut line".to_owned()) };
    }
    let mut decoder = Decoder::new(datagram);
    let samples = decoder
        .by_ref()
        .map(|item| match item {
            Item::Values(list) => Sample::of_list(&list),
            other => Err(format!("{other:?} was never sent")),
        })
        .collect::<Result<_, _>>()?;
    Ok(samples)
}
