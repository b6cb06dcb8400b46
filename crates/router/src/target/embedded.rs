//! What an embedded target keeps: the last points of each series, in bounded memory.
//!
//! For the first five minutes and for tests, not a database: 10,000 series of 60 points, and 32 MiB; the
//! series that was fed longest ago goes first.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use coco_wire::{
    collectd::{self, Decoder, Item, TIME_UNITS_PER_SECOND, Value},
    line::{self, Timestamp},
    names::Names,
};
use lru::LruCache;

use crate::chunk::{Chunk, Format};

/// Series kept by one target.
const SERIES_MAX: usize = 10_000;

/// Bytes of names and points kept by one target, about.
const BYTES_MAX: usize = 32 << 20;

/// Points kept of each series.
const POINTS_MAX: usize = 60;

/// One measurement: seconds since 1970 and the values, more than one for some collectd types.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// Seconds since 1970.
    pub time: f64,
    /// As numbers; counters above 2^53 lose their last digits here, and only here.
    pub values: Vec<f64>,
}

/// A stored series.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Graphite name, or collectd identifier.
    pub name: String,
    /// Oldest first.
    pub points: Vec<Point>,
}

/// The memory of one embedded target.
#[derive(Debug)]
pub(crate) struct Store(Mutex<Kept>);

#[derive(Debug)]
struct Kept {
    series: LruCache<Vec<u8>, VecDeque<Point>>,
    /// Bytes of the names and points in `series`.
    bytes: usize,
}

impl Default for Store {
    fn default() -> Self {
        // Room is taken as series come, not at once.
        Self(Mutex::new(Kept { series: LruCache::unbounded(), bytes: 0 }))
    }
}

impl Store {
    /// Stores every sample of `chunk`; notifications are taken and forgotten.
    pub(crate) fn insert(&self, chunk: &Chunk) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match chunk.format {
            Format::Lines => chunk.bytes.split(|&b| b == b'\n').for_each(|line| {
                if let Some((name, point)) = point_of_line(line) {
                    kept.push(name, point);
                }
            }),
            Format::Frames => {
                let (mut start, mut name) = (0, Vec::new());
                for frame in &chunk.frames {
                    let datagram = chunk.bytes.get(start..frame.end).unwrap_or_default();
                    start = frame.end;
                    for item in Decoder::new(datagram) {
                        let Item::Values(list) = item else { continue };
                        name.clear();
                        collectd::identifier(&list.identity, &mut name);
                        kept.push(&name, point_of_list(&list));
                    }
                }
            }
        }
    }

    /// The series `name`, and those of the host `name`; at most `limit`.
    pub(crate) fn find(&self, name: &[u8], limit: usize) -> Vec<Series> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_host =
            |key: &[u8]| key.strip_prefix(name).is_some_and(|rest| rest.starts_with(b"/"));
        let mut found: Vec<Series> = kept
            .series
            .iter()
            .filter(|(key, _)| key.as_slice() == name || of_host(key))
            .take(limit)
            .map(|(key, points)| Series {
                name: String::from_utf8_lossy(key).into_owned(),
                points: points.iter().cloned().collect(),
            })
            .collect();
        found.sort_by(|a, b| a.name.cmp(&b.name));
        found
    }
}

impl Kept {
    fn push(&mut self, name: &[u8], point: Point) {
        if !self.series.contains(name) {
            self.bytes += name.len();
        }
        let points = self.series.get_or_insert_mut_ref(name, VecDeque::new);
        self.bytes += point.bytes();
        points.push_back(point);
        if points.len() > POINTS_MAX {
            self.bytes -= points.pop_front().map_or(0, |oldest| oldest.bytes());
        }
        while (self.bytes > BYTES_MAX || self.series.len() > SERIES_MAX)
            && let Some((name, points)) = self.series.pop_lru()
        {
            self.bytes -= name.len() + points.iter().map(Point::bytes).sum::<usize>();
        }
    }
}

impl Point {
    fn bytes(&self) -> usize {
        size_of::<Self>() + size_of_val(self.values.as_slice())
    }
}

fn point_of_line(line: &[u8]) -> Option<(&[u8], Point)> {
    // Tiers that follow another relay carry lines that are not strict.
    let parsed = line::parse(line).ok().or_else(|| Names::AsIs.parse(line))?;
    let number = |text: &[u8]| -> Option<f64> {
        let text: String = std::str::from_utf8(text).ok()?.chars().filter(|&c| c != '_').collect();
        text.parse().ok()
    };
    let Timestamp::Given(time) = parsed.time else { return None };
    Some((parsed.name, Point { time: number(time)?, values: vec![number(parsed.value)?] }))
}

fn point_of_list(list: &collectd::ValueList<'_>) -> Point {
    let seconds = list.time / TIME_UNITS_PER_SECOND;
    let fraction = list.time % TIME_UNITS_PER_SECOND;
    let time = as_f64(seconds) + as_f64(fraction) / as_f64(TIME_UNITS_PER_SECOND);
    let values = list.values.iter().map(|(kind, raw)| Value::new(kind, raw).to_f64()).collect();
    Point { time, values }
}

#[expect(clippy::cast_precision_loss, reason = "for people to look at; seconds are far below 2^53")]
fn as_f64(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_points_of_a_line_are_kept_in_order() {
        let store = Store::default();
        for n in 0..100 {
            let mut chunk = Chunk::default();
            chunk.push_line(format!("web01.load {n}.5 {}", 1_700_000_000 + n).as_bytes());
            store.insert(&chunk);
        }
        let found = store.find(b"web01.load", 10);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].points.len(), POINTS_MAX);
        let last = Point { time: 1_700_000_099.0, values: vec![99.5] };
        assert_eq!(found[0].points.last(), Some(&last));
    }

    #[test]
    fn the_oldest_series_goes_when_there_are_too_many() {
        let store = Store::default();
        let mut chunk = Chunk::default();
        for n in 0..=SERIES_MAX {
            chunk.push_line(format!("name{n} 1 1").as_bytes());
        }
        store.insert(&chunk);
        assert!(store.find(b"name0", 1).is_empty());
        assert_eq!(store.find(b"name1", 1).len(), 1);
    }

    #[test]
    fn the_bytes_kept_are_those_of_what_is_kept() {
        let store = Store::default();
        let mut kept = store.0.lock().unwrap();
        for n in 0..30_000_u32 {
            let values = vec![0.0; 300];
            kept.push(format!("name{}", n % 2000).as_bytes(), Point { time: 0.0, values });
        }
        let points = |points: &VecDeque<Point>| points.iter().map(Point::bytes).sum::<usize>();
        let bytes: usize = kept.series.iter().map(|(name, p)| name.len() + points(p)).sum();
        assert_eq!(bytes, kept.bytes);
        assert!(bytes <= BYTES_MAX && bytes > BYTES_MAX / 2, "{bytes}");
    }
}
