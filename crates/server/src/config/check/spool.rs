//! `[spool]`: the folder and the bounds of what is held on disk.

use std::{ops::RangeInclusive, path::PathBuf, time::Duration};

use coco_router::plan::{OnChange, ReplayRate, SpoolPlan, Sync};

use crate::config::{
    file::{self, Leaf, Node},
    findings::{self, Findings, Refusal},
    path::KeyPath,
    units,
};

/// The section, if there is one; its folder has no default.
pub(super) fn spool(
    node: Option<&Node<file::Spool>>,
    at: &KeyPath,
    findings: &mut Findings<'_>,
) -> Option<SpoolPlan> {
    let section = findings.table(at, node)?;
    let directory = findings.read(&at.key("directory"), section.directory.as_ref(), directory);
    if section.directory.is_none() {
        findings.fault(&at.key("directory"), "say where, as directory = \"/var/lib/coco/spool\"");
    }
    let mut size = |key, leaf: &Option<Leaf>, default| {
        let read = findings.read(&at.key(key), leaf.as_ref(), findings::size(SIZE));
        read.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(default)
    };
    let bytes_max = size("size", &section.size, SIZE_DEFAULT);
    let target_bytes_max = size("per_target", &section.per_target, bytes_max);
    let max_age = findings.read(&at.key("max_age"), section.max_age.as_ref(), age);
    let sync = findings.read(&at.key("sync"), section.sync.as_ref(), sync);
    let rate = section.replay_rate.as_ref();
    let replay_rate = findings.read(&at.key("replay_rate"), rate, replay_rate);
    let change = section.on_change.as_ref();
    let on_change = findings.read(&at.key("on_change"), change, findings::choice(&ON_CHANGE));
    Some(SpoolPlan {
        directory: directory?,
        bytes_max,
        target_bytes_max,
        max_age,
        sync: sync.unwrap_or(Sync::Interval(SYNC_DEFAULT)),
        replay_rate: replay_rate.unwrap_or(REPLAY_RATE_DEFAULT),
        on_change: on_change.unwrap_or(OnChange::Keep),
    })
}

fn directory(leaf: &Leaf) -> Result<PathBuf, Refusal> {
    findings::text(leaf).map(PathBuf::from)
}

/// Any time: samples may wait on disk for weeks.
fn age(leaf: &Leaf) -> Result<Duration, Refusal> {
    let text = findings::text(leaf)?;
    match units::duration(text) {
        Ok(age) if !age.is_zero() => Ok(age),
        Ok(_) => Err(Refusal::Value("leave the key out to keep samples for any time".to_owned())),
        Err(why) => Err(Refusal::Value(format!("{text:?} is not a duration: {why}"))),
    }
}

fn sync(leaf: &Leaf) -> Result<Sync, Refusal> {
    let text = findings::text(leaf)?;
    match text.split_once(' ') {
        None if text == "each" => Ok(Sync::Each),
        None if text == "never" => Ok(Sync::Never),
        Some(("interval", interval)) => match units::duration(interval.trim()) {
            Ok(interval) if !interval.is_zero() => Ok(Sync::Interval(interval)),
            Ok(_) => Err(Refusal::Value("the interval must be more than zero".to_owned())),
            Err(why) => Err(Refusal::Value(format!("the interval {interval:?}: {why}"))),
        },
        _ => Err(Refusal::Value(
            "it is \"interval 200ms\" (or another time), \"each\" or \"never\"".to_owned(),
        )),
    }
}

/// Reads how many times as fast as the live rate, whole or not, or that it is not bounded.
fn replay_rate(leaf: &Leaf) -> Result<ReplayRate, Refusal> {
    let (times, seen) = match leaf {
        Node::Text(text) if text == "unlimited" => return Ok(ReplayRate::Unlimited),
        Node::Integer(number) => (number.parse().ok(), number.clone()),
        Node::Float(number) => (Some(*number), number.to_string()),
        Node::Text(_) | Node::List(_) | Node::Table(_) | Node::Flag(_) => {
            return Err(Refusal::Type("a number in 1.1..1000, or \"unlimited\"".to_owned()));
        }
    };
    times.filter(|times| REPLAY_RATE.contains(times)).map(ReplayRate::TimesLive).ok_or_else(|| {
        Refusal::Value(format!(
            "{seen} is not in 1.1..1000; \"unlimited\" is as fast as targets take it"
        ))
    })
}

const ON_CHANGE: [(&str, OnChange); 2] = [("keep", OnChange::Keep), ("reroute", OnChange::Reroute)];

/// Not above one, a backlog would never end.
const REPLAY_RATE: RangeInclusive<f64> = 1.1..=1000.0;

/// An outage of an hour is made up for in less than half an hour, and the target has three times its load.
const REPLAY_RATE_DEFAULT: ReplayRate = ReplayRate::TimesLive(3.0);

/// Four segments of a useful size are the least.
const SIZE: RangeInclusive<u64> = 1 << 20..=1 << 50;

const SIZE_DEFAULT: u64 = 10 << 30;

/// What a crash of the machine may take.
const SYNC_DEFAULT: Duration = Duration::from_millis(200);
