use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    io::Write,
    net::{Ipv4Addr, SocketAddr, TcpStream},
};

use coco_tests::{
    c_relay::{CRelay, Cluster},
    coco::Coco,
    corpus, owners,
    sink::LineSink,
    wait::{SOON, wait_for},
};

/// Names sent, each once.
const NAMES: usize = 10_000;

/// Servers of each cluster.
const SERVERS: u8 = 6;

#[test]
fn with_instances_every_line_goes_where_carbon_c_relay_sends_it_and_as_it_sends_it() {
    let same_host = |instances: [&'static str; 6]| {
        instances.map(|instance| (Ipv4Addr::LOCALHOST, Some(instance))).to_vec()
    };
    let letters = ["a", "b", "c", "d", "e", "f"];
    compare(
        &[
            ("carbon_ch", 1, same_host(letters)),
            ("carbon_ch", 2, same_host(letters)),
            ("fnv1a_ch", 1, same_host(letters)),
            ("fnv1a_ch", 2, same_host(["cache-1", "cache-2", "cache-3", "x", "\u{e9}", "Z"])),
            // As numbers, not as text, and not as they stand here.
            ("jump_fnv1a_ch", 1, same_host(["10", "9", "1", "2", "0", "100"])),
            ("jump_fnv1a_ch", 2, same_host(["f", "b", "e", "a", "d", "c"])),
            ("any_of", 1, same_host(letters)),
        ],
        None,
    );
}

#[test]
fn without_instances_every_line_goes_where_carbon_c_relay_sends_it_and_as_it_sends_it() {
    let hosts: Vec<_> = (1..=SERVERS).map(|host| (Ipv4Addr::new(127, 0, 0, host), None)).collect();
    let one_host = vec![(Ipv4Addr::LOCALHOST, None); usize::from(SERVERS)];
    let instances = [Some("b"), None, Some("a"), None, None, Some("c")];
    let some: Vec<_> =
        hosts.iter().zip(instances).map(|((host, _), instance)| (*host, instance)).collect();
    compare(
        &[
            ("carbon_ch", 1, hosts.clone()),
            ("carbon_ch", 2, some.clone()),
            ("fnv1a_ch", 1, one_host.clone()),
            ("fnv1a_ch", 2, some.clone()),
            ("jump_fnv1a_ch", 1, one_host),
            ("jump_fnv1a_ch", 2, some),
            ("any_of", 1, hosts),
        ],
        Some("-_:#@/\u{e9}"),
    );
}

#[test]
fn with_many_servers_every_line_goes_where_carbon_c_relay_sends_it() {
    // So many that thousands of the rings' points collide.
    let hosts: Vec<_> =
        (1..=MANY_SERVERS).map(|host| (Ipv4Addr::new(127, 0, 1, host), None)).collect();
    compare(&[("carbon_ch", 1, hosts.clone()), ("fnv1a_ch", 1, hosts)], None);
}

#[test]
fn with_semicolons_allowed_tags_are_hashed_as_carbon_c_relay_hashes_them() {
    let hosts: Vec<_> = (1..=SERVERS).map(|host| (Ipv4Addr::new(127, 0, 0, host), None)).collect();
    compare(&[("carbon_ch", 1, hosts.clone()), ("fnv1a_ch", 1, hosts)], Some("-_:#;="));
}

/// Servers of a large cluster.
const MANY_SERVERS: u8 = 64;

/// A kind of cluster, its replication, and where its servers are with their instances.
type Case = (&'static str, usize, Vec<(Ipv4Addr, Option<&'static str>)>);

/// The servers of one cluster, twice: for carbon-c-relay, and for the tier of Coco that stands for it.
struct Twins {
    tier: String,
    kind: &'static str,
    copies: usize,
    theirs: Vec<(LineSink, Option<&'static str>)>,
    ours: Vec<LineSink>,
}

/// Sends the same lines through both, and asserts that every two twins receive the same ones.
#[track_caller]
fn compare(cases: &[Case], characters: Option<&str>) {
    let mut random = corpus::random();
    let names: Vec<_> = (0..NAMES).map(|n| corpus::untidy_name(&mut random, n)).collect();
    let twins: Vec<_> = cases.iter().enumerate().map(|(n, case)| Twins::start(n, case)).collect();
    let clusters: Vec<_> = twins.iter().map(Twins::cluster).collect();
    let tiers: String = twins.iter().map(|twins| twins.section(characters)).collect();
    let relay = CRelay::start(&clusters, characters);
    let coco = Coco::start(&format!("[graphite]\nbind = \"127.0.0.1:0\"\n{tiers}"));

    let mut lines = Vec::new();
    for (number, name) in names.iter().enumerate() {
        // The value tells which name it was.
        let (before, blank) = (["", " ", "\t"][random.usize(..3)], [" ", "  "][random.usize(..2)]);
        lines.extend([before.as_bytes(), name].concat());
        writeln!(lines, "{blank}{number} 1700000000").unwrap();
    }
    send(relay.address(), &lines);
    send(coco.listener("line-tcp"), &lines);
    for twins in &twins {
        wait_for_all(&twins.tier, twins.copies, &|| twins.theirs.iter().map(|s| s.0.count()).sum());
        wait_for_all(&twins.tier, twins.copies, &|| twins.ours.iter().map(LineSink::count).sum());
    }
    let looked_up = owners::lookup(&coco.config_file(), &names);
    let ledger = coco.settle();
    assert_eq!(ledger.samples("decoded"), NAMES as u64, "{ledger}");
    assert_eq!(ledger.shed_in_all(), 0, "{ledger}");
    coco.stop();
    // All that it holds is sent first: nothing comes later that was not counted.
    relay.stop();

    for twins in &twins {
        let owners = twins.assert_alike();
        for (number, name) in names.iter().enumerate() {
            let due = &owners[&number];
            let found: BTreeSet<_> = looked_up[name][&twins.tier].iter().cloned().collect();
            assert_eq!(found, *due, "coco lookup of {} in {}", name.escape_ascii(), twins.tier);
        }
    }
}

impl Twins {
    fn start(number: usize, (kind, copies, servers): &Case) -> Self {
        let theirs =
            servers.iter().map(|(host, instance)| (LineSink::start_at(*host, 0), *instance));
        let theirs = theirs.collect();
        let ours = servers.iter().map(|_| LineSink::start()).collect();
        Self { tier: format!("{kind}-{number}"), kind, copies: *copies, theirs, ours }
    }

    fn cluster(&self) -> Cluster {
        let server = |(sink, instance): &(LineSink, Option<&str>)| match instance {
            Some(instance) => format!("{}=\"{instance}\"", sink.address()),
            None => sink.address().to_string(),
        };
        let servers = self.theirs.iter().map(server).collect();
        Cluster { kind: self.kind.to_owned(), replication: self.copies, servers }
    }

    /// The tier that hashes the addresses of `theirs` and sends to `ours`.
    fn section(&self, characters: Option<&str>) -> String {
        let Self { tier, kind, copies, theirs, ours } = self;
        let mut text =
            format!("[tiers.{tier}]\nprotocol = \"graphite\"\nhash = \"c-relay/{kind}\"\n");
        if *copies > 1 {
            writeln!(text, "replicas = {copies}").unwrap();
        }
        if let Some(characters) = characters {
            writeln!(text, "allowed_characters = {characters:?}").unwrap();
        }
        text += "targets = [\n";
        for (ours, (theirs, instance)) in ours.iter().zip(theirs) {
            let instance = instance.map_or(String::new(), |instance| format!(":{instance}"));
            let hash_as = match *kind {
                // Only the order counts, and Coco refuses what would do nothing.
                "any_of" => String::new(),
                _ => format!(", hash_as = \"{}{instance}\"", theirs.address()),
            };
            writeln!(text, "{{ address = \"{}\"{hash_as} }},", ours.address()).unwrap();
        }
        text + "]\n"
    }

    /// Asserts that twins have the same lines; returns which of `ours` have the line of each number.
    #[track_caller]
    fn assert_alike(&self) -> BTreeMap<usize, BTreeSet<String>> {
        let mut owners = BTreeMap::<_, BTreeSet<_>>::new();
        for (place, ((theirs, _), ours)) in self.theirs.iter().zip(&self.ours).enumerate() {
            let (due, found) = (fields(theirs), fields(ours));
            let only = |a: &BTreeSet<_>, b: &BTreeSet<_>| -> Vec<String> {
                a.difference(b).take(5).map(|(_, line): &(usize, String)| line.clone()).collect()
            };
            let (missing, extra) = (only(&due, &found), only(&found, &due));
            let what = format!("{} at position {place}", self.tier);
            assert!(due == found, "{what}: only carbon-c-relay: {missing:?}, only Coco: {extra:?}");
            assert_eq!((theirs.count(), ours.count()), (due.len(), due.len()), "{what}: twice");
            for (number, _) in due {
                owners.entry(number).or_default().insert(ours.address().to_string());
            }
        }
        assert!(owners.values().all(|owners| owners.len() == self.copies), "{}", self.tier);
        assert_eq!(owners.len(), NAMES, "{}", self.tier);
        owners
    }
}

/// The number of each line, and the line with single blanks, escaped.
fn fields(sink: &LineSink) -> BTreeSet<(usize, String)> {
    let line = |line: Vec<u8>| {
        let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
        let fields: Vec<_> = line.split(blank).filter(|field| !field.is_empty()).collect();
        let [_, value, _] = fields[..] else { panic!("received {}", line.escape_ascii()) };
        let number = std::str::from_utf8(value).unwrap().parse().unwrap();
        (number, fields.join(&b' ').escape_ascii().to_string())
    };
    sink.lines().into_iter().map(line).collect()
}

#[track_caller]
fn wait_for_all(tier: &str, copies: usize, count: &dyn Fn() -> usize) {
    let due = NAMES * copies;
    wait_for(tier, SOON, || match count() {
        count if count >= due => Ok(()),
        count => Err(format!("{count} of {due} lines")),
    });
}

fn send(address: SocketAddr, lines: &[u8]) {
    TcpStream::connect(address).unwrap().write_all(lines).unwrap();
}
