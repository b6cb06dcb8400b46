use std::{
    collections::{BTreeMap, BTreeSet},
    io::{ErrorKind, Write},
    net::{SocketAddr, TcpStream},
    sync::mpsc::{self, RecvTimeoutError, Sender},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use coco_tests::{
    c_relay::{CRelay, Cluster},
    coco::Coco,
    corpus, owners,
    port::free_port,
    process::folder,
    sink::LineSink,
    wait::{SOON, wait_for, wait_until},
};

/// Names that the client sends in each round.
const NAMES: usize = 2_000;

/// Lines in one write, and the time to the next one.
const PORTION: usize = 100;
const PACE: Duration = Duration::from_millis(5);

const INSTANCES: [&str; 5] = ["a", "b", "c", "d", "e"];

#[test]
fn a_carbon_c_relay_is_replaced_under_traffic_and_no_name_moves() {
    let mut random = corpus::random();
    let names: Vec<_> = (0..NAMES).map(|n| corpus::untidy_name(&mut random, n)).collect();
    let sinks = INSTANCES.map(|instance| (LineSink::start(), instance));
    let servers = sinks.iter().map(|(sink, instance)| format!("{}={instance}", sink.address()));
    let targets = sinks.iter().map(|(sink, instance)| format!("{}:{instance}", sink.address()));
    let (servers, targets): (Vec<_>, Vec<_>) = (servers.collect(), targets.collect());
    let sinks = sinks.map(|(sink, _)| sink);
    let port = free_port();
    let address = SocketAddr::from(([127, 0, 0, 1], port));

    let relay = CRelay::start_on(
        port,
        &[Cluster { kind: "carbon_ch".to_owned(), replication: 1, servers }],
        None,
    );
    let client = Client::start(address, &names);
    let before = wait_for("two rounds through carbon-c-relay", SOON, || {
        let placed = placed(&sinks, |_| true);
        match placed.len() == NAMES && rounds(&sinks, 1) >= 2 {
            true => Ok(placed),
            false => Err(format!("{} names", placed.len())),
        }
    });
    // The proof that comes before the switch.
    let config = format!(
        "[graphite]\nbind = \"{address}\"\n\
         [tiers.archive]\nprotocol = \"graphite\"\nhash = \"c-relay/carbon_ch\"\ntargets = {targets:?}\n"
    );
    let folder = folder();
    let file = folder.path().join("coco.toml");
    std::fs::write(&file, &config).unwrap();
    let looked_up = owners::lookup(&file, &names);
    for (number, name) in names.iter().enumerate() {
        let due = before[&number].iter().map(|(_, place)| targets[*place].clone());
        let due: Vec<_> = due.collect();
        assert_eq!(looked_up[name]["archive"], due, "owner of {}", name.escape_ascii());
    }

    relay.stop();
    let coco = Coco::start(&config);
    wait_until("three rounds through Coco", SOON, || rounds(&sinks, 2) >= 3);
    let sent = client.stop();
    coco.wait_for_ledger("all that was sent", SOON, |ledger| match ledger.samples("decoded") {
        decoded if decoded == sent.on_the_second => Ok(()),
        decoded => Err(format!("{decoded} of {}", sent.on_the_second)),
    });
    let ledger = coco.settle();
    assert_eq!(ledger.shed_in_all() + ledger.samples("malformed"), 0, "{ledger}");
    coco.stop();
    let received = || sinks.iter().flat_map(LineSink::lines).filter(|l| connection(l) == 2).count();
    wait_until("all lines of Coco", SOON, || received() as u64 == sent.on_the_second);

    // One cleaned name and one place for every number, on both connections together.
    let (first, both) = (placed(&sinks, |line| connection(line) == 1), placed(&sinks, |_| true));
    let second = placed(&sinks, |line| connection(line) == 2);
    for (number, name) in names.iter().enumerate() {
        let name = name.escape_ascii();
        assert_eq!(both[&number].len(), 1, "{name} was forwarded as or to {:?}", both[&number]);
        assert_eq!(first[&number], second[&number], "{name}");
    }
    assert_eq!((first.len(), second.len()), (NAMES, NAMES));
    assert_eq!(sent.connections, 2);
}

/// A client that sends lines of all names in rounds, and connects again when its connection breaks.
struct Client {
    end: Sender<()>,
    thread: JoinHandle<Sent>,
}

/// What a client has done.
struct Sent {
    connections: usize,
    /// Lines written on the second connection.
    on_the_second: u64,
}

impl Client {
    /// Each line is `NAME NUMBER.CONNECTION TIME`: the number of the name, that of the connection, from
    /// 1, and a time that grows with each round.
    fn start(address: SocketAddr, names: &[Vec<u8>]) -> Self {
        let (end, ended) = mpsc::channel();
        let names = names.to_vec();
        let thread = thread::spawn(move || {
            let mut sent = Sent { connections: 1, on_the_second: 0 };
            let mut stream = connect(address);
            for round in 0.. {
                for (portion, names) in names.chunks(PORTION).enumerate() {
                    while let Err(error) = {
                        let lines = lines(names, portion * PORTION, sent.connections, round);
                        stream.write_all(&lines)
                    } {
                        let broken = [ErrorKind::BrokenPipe, ErrorKind::ConnectionReset];
                        assert!(broken.contains(&error.kind()), "{error}");
                        stream = connect(address);
                        sent.connections += 1;
                    }
                    if sent.connections == 2 {
                        sent.on_the_second += names.len() as u64;
                    }
                    // Not a wait for anything: what keeps the client from sending as fast as it can.
                    if ended.recv_timeout(PACE) != Err(RecvTimeoutError::Timeout) {
                        return sent;
                    }
                }
            }
            sent
        });
        Self { end, thread }
    }

    fn stop(self) -> Sent {
        self.end.send(()).unwrap();
        self.thread.join().unwrap()
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let started_at = Instant::now();
    loop {
        match TcpStream::connect(address) {
            Ok(stream) => return stream,
            Err(error) if started_at.elapsed() > SOON => panic!("nobody on {address}: {error}"),
            Err(_) => thread::park_timeout(PACE),
        }
    }
}

fn lines(names: &[Vec<u8>], first: usize, connection: usize, round: usize) -> Vec<u8> {
    let mut lines = Vec::new();
    for (number, name) in names.iter().enumerate() {
        lines.extend(name);
        let (number, time) = (first + number, 1_700_000_000 + 10 * round);
        writeln!(lines, " {number}.{connection} {time}").unwrap();
    }
    lines
}

/// For the number of each name, the names as forwarded and the places of the sinks that have them.
fn placed(
    sinks: &[LineSink],
    wanted: impl Fn(&[u8]) -> bool,
) -> BTreeMap<usize, BTreeSet<(String, usize)>> {
    let mut placed = BTreeMap::<_, BTreeSet<_>>::new();
    for (place, sink) in sinks.iter().enumerate() {
        for line in sink.lines().iter().filter(|line| wanted(line)) {
            let (name, number) = (columns(line)[0].escape_ascii().to_string(), value(line).0);
            placed.entry(number).or_default().insert((name, place));
        }
    }
    placed
}

/// Whole rounds that arrived by a connection, if nothing was lost.
fn rounds(sinks: &[LineSink], through: usize) -> usize {
    let lines = sinks.iter().flat_map(LineSink::lines);
    lines.filter(|line| connection(line) == through).count() / NAMES
}

fn connection(line: &[u8]) -> usize {
    value(line).1
}

/// The number of the name, and that of the connection.
fn value(line: &[u8]) -> (usize, usize) {
    let text = std::str::from_utf8(columns(line)[1]).unwrap();
    let (number, connection) = text.split_once('.').unwrap();
    (number.parse().unwrap(), connection.parse().unwrap())
}

fn columns(line: &[u8]) -> [&[u8]; 3] {
    let columns: Vec<_> = line.split(|byte| *byte == b' ').collect();
    columns.try_into().unwrap_or_else(|_| panic!("received {}", line.escape_ascii()))
}
