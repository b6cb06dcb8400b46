//! A fleet of collectd hosts: what each one's network plugin sends every ten seconds.

use anyhow::Context as _;
use coco_wire::collectd::{
    DATAGRAM_BYTES_DEFAULT, Identity, Kind, Packer, TIME_UNITS_PER_SECOND, ValueList, Values,
};

/// Value lists in a datagram.
pub const LISTS: usize = 27;

/// Datagrams of one host in one interval.
pub const HOST_DATAGRAMS: usize = 13;

/// Series of one host.
pub const HOST_SERIES: usize = LISTS * HOST_DATAGRAMS;

const SECONDS: u64 = 1_700_000_000;
const INTERVAL: u64 = 10 * TIME_UNITS_PER_SECOND;

/// The part that signs what follows it: type, length, 32 bytes of hash, user.
const SIGNATURE_TYPE: u16 = 0x0200;
const SIGNATURE_BYTES: usize = 36;
const USER: &[u8] = b"web";

/// Two value lists of one reading are so far apart: 20 µs.
const STEP: u64 = TIME_UNITS_PER_SECOND / 50_000;

/// Plugin, how many instances it has, what they are called, type, type instances, values in a list.
type Source = (&'static str, usize, &'static str, &'static str, &'static [&'static str], usize);

/// A usual server with 16 cores.
const SOURCES: [Source; 12] = [
    (
        "cpu",
        16,
        "",
        "percent",
        &["user", "system", "nice", "idle", "wait", "interrupt", "softirq", "steal"],
        1,
    ),
    ("df", 8, "mnt", "df_complex", &["free", "reserved", "used"], 1),
    ("df", 8, "mnt", "df_inodes", &["free", "reserved", "used"], 1),
    ("disk", 12, "sd", "disk_octets", &[""], 2),
    ("disk", 12, "sd", "disk_ops", &[""], 2),
    ("interface", 8, "eth", "if_octets", &[""], 2),
    ("interface", 8, "eth", "if_packets", &[""], 2),
    ("interface", 8, "eth", "if_errors", &[""], 2),
    ("memory", 0, "", "memory", &["free", "used", "cached", "buffered", "slab"], 1),
    ("load", 0, "", "load", &[""], 3),
    (
        "tcpconns",
        10,
        "80",
        "tcp_connections",
        &["LISTEN", "ESTABLISHED", "TIME_WAIT", "CLOSE_WAIT", "SYN_SENT", "FIN_WAIT"],
        1,
    ),
    ("processes", 21, "worker", "ps_state", &["running", "sleeping", "blocked"], 1),
];

/// One series of a host.
#[derive(Debug)]
struct Series {
    plugin: &'static str,
    plugin_instance: String,
    type_: &'static str,
    type_instance: &'static str,
    values: usize,
}

/// Datagrams of many hosts.
#[derive(Debug)]
pub struct Fleet {
    /// The datagrams of one interval.
    pub datagrams: Vec<Vec<u8>>,
    /// The hosts, by name.
    pub hosts: Vec<String>,
}

impl Fleet {
    /// Datagrams of 27 value lists of one host each, 13 for each host, host by host.
    ///
    /// # Errors
    /// The value lists do not fit.
    pub fn single(hosts: usize) -> anyhow::Result<Self> {
        let (hosts, series) = (names(hosts), series());
        let mut datagrams = Vec::new();
        for host in &hosts {
            for part in series.chunks_exact(LISTS) {
                datagrams.push(pack(part.iter().map(|series| (host.as_str(), series)))?);
            }
        }
        Ok(Self { datagrams, hosts })
    }

    /// Datagrams of one value list of each of 27 hosts, as a daemon that gathers from others sends:
    /// the series with one value, of which 27 fit.
    ///
    /// # Errors
    /// The value lists do not fit.
    pub fn mixed(hosts: usize) -> anyhow::Result<Self> {
        let (hosts, series) = (names(hosts), series());
        let mut datagrams = Vec::new();
        for part in hosts.chunks_exact(LISTS) {
            for series in series.iter().filter(|series| series.values == 1) {
                datagrams.push(pack(part.iter().map(|host| (host.as_str(), series)))?);
            }
        }
        Ok(Self { datagrams, hosts })
    }

    /// Datagrams of a single value list each: one series of every host.
    ///
    /// # Errors
    /// A value list does not fit.
    pub fn small(hosts: usize) -> anyhow::Result<Self> {
        let (hosts, series) = (names(hosts), series());
        let mut all = hosts.iter().zip(series.iter().cycle());
        let datagrams = all.try_fold(Vec::new(), |mut datagrams, (host, series)| {
            datagrams.push(pack(std::iter::once((host.as_str(), series)))?);
            anyhow::Ok(datagrams)
        })?;
        Ok(Self { datagrams, hosts })
    }

    /// The same datagrams with a signature before the payload, as collectd's `SecurityLevel Sign`
    /// sends them. The hash is none: without the users' keys nobody can tell.
    pub fn signed(mut self) -> Self {
        let length = u16::try_from(SIGNATURE_BYTES + USER.len()).unwrap_or_default();
        for datagram in &mut self.datagrams {
            let mut signed = SIGNATURE_TYPE.to_be_bytes().to_vec();
            signed.extend(length.to_be_bytes());
            signed.extend([0x5A; SIGNATURE_BYTES - 4]);
            signed.extend(USER);
            signed.append(datagram);
            *datagram = signed;
        }
        self
    }
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|at| format!("web{at:04}.dc{}.net", at % 3)).collect()
}

fn series() -> Vec<Series> {
    let of = |&(plugin, count, prefix, type_, instances, values): &Source| {
        (0..count.max(1)).flat_map(move |at| {
            let plugin_instance = if count == 0 { String::new() } else { format!("{prefix}{at}") };
            instances.iter().map(move |&type_instance| {
                let plugin_instance = plugin_instance.clone();
                Series { plugin, plugin_instance, type_, type_instance, values }
            })
        })
    };
    SOURCES.iter().flat_map(of).take(HOST_SERIES).collect()
}

fn pack<'a>(lists: impl Iterator<Item = (&'a str, &'a Series)>) -> anyhow::Result<Vec<u8>> {
    let (mut packer, mut datagram) = (Packer::new(DATAGRAM_BYTES_DEFAULT), Vec::new());
    packer.begin(0);
    let mut time = SECONDS * TIME_UNITS_PER_SECOND;
    for (host, series) in lists {
        time += STEP;
        let kind = if series.values == 1 { Kind::Gauge } else { Kind::Derive };
        let kinds = vec![kind.to_wire(); series.values];
        let raw = vec![0x40; 8 * series.values];
        let identity = Identity {
            host: host.as_bytes(),
            plugin: series.plugin.as_bytes(),
            plugin_instance: series.plugin_instance.as_bytes(),
            type_: series.type_.as_bytes(),
            type_instance: series.type_instance.as_bytes(),
        };
        let values = Values::try_new(&kinds, &raw)?;
        let list = ValueList { identity, time, interval: INTERVAL, values };
        packer.push(&mut datagram, &list).context("27 value lists are too many")?;
    }
    Ok(datagram)
}

#[cfg(test)]
mod tests {
    use coco_wire::collectd::{Decoder, Item};

    use super::*;

    fn check(fleet: &Fleet, hosts: usize) {
        for datagram in &fleet.datagrams {
            let mut decoder = Decoder::new(datagram);
            let mut seen = std::collections::BTreeSet::new();
            let lists = decoder.by_ref().map(|item| match item {
                Item::Values(list) => seen.insert(list.identity.host),
                other => panic!("{other:?}"),
            });
            assert_eq!(lists.count(), LISTS);
            assert!(decoder.outcome().strict);
            assert_eq!(seen.len(), hosts);
        }
    }

    #[test]
    fn a_host_sends_351_series_in_13_full_datagrams() {
        let fleet = Fleet::single(2).unwrap();
        check(&fleet, 1);
        assert_eq!(fleet.datagrams.len(), 2 * HOST_DATAGRAMS);
        let bytes: usize = fleet.datagrams.iter().map(Vec::len).sum();
        let mean = bytes / fleet.datagrams.len();
        assert!((1000..=1452).contains(&mean), "{mean} bytes a datagram");
    }

    #[test]
    fn a_signature_hides_nothing() {
        let fleet = Fleet::single(1).unwrap().signed();
        let mut decoder = Decoder::new(&fleet.datagrams[0]);
        assert_eq!(decoder.by_ref().count(), LISTS);
        assert!(decoder.outcome().signed);
    }

    #[test]
    fn a_small_datagram_has_one_value_list() {
        let fleet = Fleet::small(10).unwrap();
        assert!(fleet.datagrams.iter().all(|datagram| Decoder::new(datagram).count() == 1));
    }

    #[test]
    fn a_gathering_daemon_sends_27_hosts_in_a_datagram() {
        let fleet = Fleet::mixed(54).unwrap();
        check(&fleet, LISTS);
        assert!(fleet.datagrams.len() > HOST_SERIES);
    }
}
