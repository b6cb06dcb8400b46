use std::{collections::BTreeSet, io::Write, net::TcpStream};

use coco_tests::{
    coco::Coco,
    corpus,
    sink::LineSink,
    wait::{SOON, wait_until},
};
use serde_json::Value;

/// What every line is followed by, with its number: it arrives whatever that line does.
const NEIGHBOUR: &str = "neighbour";

/// Targets of a tier in place of nanotube, whose recorded lines tell none.
const TARGETS: u32 = 7;

#[test]
fn lines_go_on_as_carbon_c_relay_forwarded_them_and_where() {
    let text = corpus::text("data/graphite/lines-ccr.tsv");
    let header = text.lines().next().unwrap().split_once('\t').unwrap().1;
    let clusters: Value = serde_json::from_str(header).unwrap();
    let rows: Vec<_> = rows(&text).collect();
    let options: BTreeSet<_> = rows.iter().map(|row| row[0].clone()).collect();
    assert_eq!(options.len(), 3);
    let mut seen = 0;
    for option in options {
        let ours: Vec<_> = rows.iter().filter(|row| row[0] == option).collect();
        let characters = option.strip_prefix(b"-c ").map(|text| String::from_utf8_lossy(text));
        let characters = characters.map(|text| format!("allowed_characters = {text:?}\n"));
        let tier = |(column, name): (usize, &str)| {
            let cluster = &clusters[name];
            let settings = format!(
                "hash = \"c-relay/{}\"\n{}",
                cluster["type"].as_str().unwrap(),
                characters.as_deref().unwrap_or_default()
            );
            let due = |row: &&Vec<Vec<u8>>| Some((row[2].clone(), Some(position(&row[column]))));
            Tier::start(name, &settings, &places(&cluster["nodes"]), ours.iter().map(due))
        };
        let tiers = [(3, "c"), (4, "f"), (5, "j")].map(tier);
        let lines: Vec<_> =
            ours.iter().map(|row| [&row[1][..], b" 1 1700000000"].concat()).collect();
        check(&tiers, &lines);
        seen += lines.len();
    }
    assert_eq!(seen, 270);
}

#[test]
fn lines_go_on_as_carbon_relayed_them_and_where() {
    let text = corpus::text("data/graphite/lines-carbon.tsv");
    let header = text.lines().next().unwrap().split_once('\t').unwrap().1;
    let places = places(&serde_json::from_str(header).unwrap());
    let rows: Vec<_> = rows(&text).collect();
    assert_eq!(rows.len(), 174);
    let tier = |(name, normalize, column): (&str, bool, usize)| {
        let settings = format!("hash = \"carbon/carbon_ch\"\nnormalize_tags = {normalize}\n");
        let due = |row: &Vec<Vec<u8>>| {
            let taken = !row[1].starts_with(b"!");
            taken.then(|| (row[column].clone(), Some(position(&row[column + 1]))))
        };
        Tier::start(name, &settings, &places, rows.iter().map(due))
    };
    let tiers = [("plain", false, 2), ("normal", true, 4)].map(tier);
    let lines: Vec<_> = rows.iter().map(|row| row[0].clone()).collect();
    check(&tiers, &lines);
}

#[test]
fn lines_go_on_as_nanotube_read_them() {
    let text = corpus::text("data/graphite/lines-nanotube.tsv");
    let rows: Vec<_> = rows(&text).collect();
    assert_eq!(rows.len(), 150);
    let tier = |(name, more, column): (&str, &str, usize)| {
        let settings = format!("hash = \"nanotube/jump\"\n{more}");
        let due = |row: &Vec<Vec<u8>>| {
            let path = &row[column];
            (path != b"!").then(|| (path.clone(), Some(nanotube_target(path, TARGETS))))
        };
        let places: Vec<_> = (0..TARGETS).map(|index| format!("index = {index}")).collect();
        Tier::start(name, &settings, &places, rows.iter().map(due))
    };
    let tiers = [("normal", "", 1), ("raw", "names = \"as-is\"\n", 2)].map(tier);
    let lines: Vec<_> = rows.iter().map(|row| row[0].clone()).collect();
    check(&tiers, &lines);
}

/// A tier with a sink for each target, and what must become of each line: its name as it goes on and,
/// if that was recorded, its target. `None`: the line goes nowhere.
struct Tier {
    name: String,
    section: String,
    sinks: Vec<LineSink>,
    due: Vec<Option<(Vec<u8>, Option<usize>)>>,
}

impl Tier {
    /// `places` are what decides about the place of each target, as its table says it.
    fn start(
        name: &str,
        settings: &str,
        places: &[String],
        due: impl Iterator<Item = Option<(Vec<u8>, Option<usize>)>>,
    ) -> Self {
        let sinks: Vec<_> = places.iter().map(|_| LineSink::start()).collect();
        let target = |(sink, place): (&LineSink, &String)| {
            format!("{{ address = \"{}\", {place} }}", sink.address())
        };
        let targets: Vec<_> = sinks.iter().zip(places).map(target).collect();
        let targets = targets.join(", ");
        let section =
            format!("[tiers.{name}]\nprotocol = \"graphite\"\n{settings}targets = [{targets}]\n");
        Self { name: name.to_owned(), section, sinks, due: due.collect() }
    }

    /// How many lines it takes, the neighbours with them.
    fn due_count(&self) -> usize {
        self.due.iter().flatten().count() + self.due.len()
    }

    fn count(&self) -> usize {
        self.sinks.iter().map(LineSink::count).sum()
    }

    #[track_caller]
    fn assert_received(&self, lines: &[Vec<u8>]) {
        let received: Vec<_> = self
            .sinks
            .iter()
            .map(|sink| sink.lines().iter().map(|l| fields(l)).collect())
            .collect();
        let mut all: Vec<(usize, Vec<String>)> = received
            .iter()
            .enumerate()
            .flat_map(|(place, lines): (_, &Vec<Vec<String>>)| {
                lines.iter().map(move |line| (place, line.clone()))
            })
            .collect();
        for (number, (due, line)) in self.due.iter().zip(lines).enumerate() {
            let mut take = |place: Option<usize>, due: &[String]| {
                let at = all.iter().position(|(at, fields)| {
                    place.is_none_or(|place| place == *at) && fields == due
                });
                at.map(|at| all.swap_remove(at))
            };
            let neighbour = fields(format!("{NEIGHBOUR}.{number} 1 1700000000").as_bytes());
            let shown = line.escape_ascii();
            assert!(take(None, &neighbour).is_some(), "{}: neighbour of {shown}", self.name);
            if let Some((name, place)) = due {
                let sent = fields(line.strip_suffix(b"\r").unwrap_or(line));
                let [.., value, time] = &sent[..] else { panic!("{shown} has no time") };
                let name = name.escape_ascii().to_string();
                let due = [name, value.clone(), time.clone()];
                let found = take(*place, &due);
                assert!(found.is_some(), "{}: {shown}: no {due:?} at {place:?}", self.name);
            }
        }
        assert!(all.is_empty(), "{}: received and not due: {all:?}", self.name);
    }
}

/// Sends the lines on one connection, each with a neighbour behind it, and checks what arrives.
#[track_caller]
fn check(tiers: &[Tier], lines: &[Vec<u8>]) {
    let sections: String = tiers.iter().map(|tier| &tier.section[..]).collect();
    let coco = Coco::start(&format!("[graphite]\nbind = \"127.0.0.1:0\"\n{sections}"));
    let mut client = TcpStream::connect(coco.listener("line-tcp")).unwrap();
    let mut text = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        text.extend(line);
        writeln!(text, "\n{NEIGHBOUR}.{number} 1 1700000000").unwrap();
    }
    client.write_all(&text).unwrap();
    for tier in tiers {
        wait_until(&tier.name, SOON, || tier.count() >= tier.due_count());
    }
    let ledger = coco.settle();
    for tier in tiers {
        tier.assert_received(lines);
    }
    // What no tier takes is malformed; what only some take is shed by the others.
    let nowhere = |at: &usize| tiers.iter().all(|tier| tier.due[*at].is_none());
    let malformed = (0..lines.len()).filter(nowhere).count();
    let taken = 2 * lines.len() - malformed;
    assert_eq!(ledger.samples("malformed"), malformed as u64, "{ledger}");
    assert_eq!(ledger.samples("decoded"), taken as u64, "{ledger}");
    let refused: usize = tiers.iter().map(|tier| taken - tier.due_count()).sum();
    assert_eq!(ledger.shed_in_all(), refused as u64, "{ledger}");
    coco.stop();
}

/// The columns of all rows but the comments, unescaped.
fn rows(text: &str) -> impl Iterator<Item = Vec<Vec<u8>>> {
    let rows = text.lines().filter(|row| !row.starts_with('#'));
    rows.map(|row| row.split('\t').map(corpus::unescape).collect())
}

/// The index that nanotube's `jump` gives a path: Lamping and Veach's jump hash of FNV-1a (64 bits).
fn nanotube_target(path: &[u8], targets: u32) -> usize {
    let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(1_099_511_628_211);
    let mut key = path.iter().fold(14_695_981_039_346_656_037, mix);
    let (mut target, mut next) = (0, 0);
    while next < targets {
        target = next;
        key = key.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        let fraction = f64::from(1_u32 << 31) / f64::from(u32::try_from(key >> 33).unwrap() + 1);
        // Its integer part.
        let jump = f64::from(target + 1) * fraction;
        next = (0..targets).find(|whole| f64::from(whole + 1) > jump).unwrap_or(targets);
    }
    target.try_into().unwrap()
}

/// `hash_as` for each of a recorded list of hosts, ports and instances.
fn places(list: &Value) -> Vec<String> {
    let place = |entry: &Value| {
        let (host, port) = (entry[0].as_str().unwrap(), &entry[1]);
        let instance = entry[2].as_str().map_or(String::new(), |instance| format!(":{instance}"));
        format!("hash_as = \"{host}:{port}{instance}\"")
    };
    list.as_array().unwrap().iter().map(place).collect()
}

fn position(column: &[u8]) -> usize {
    std::str::from_utf8(column).unwrap().parse().unwrap()
}

/// What stands between blanks, escaped.
fn fields(line: &[u8]) -> Vec<String> {
    let fields = line.split(|byte| matches!(byte, b' ' | b'\t'));
    fields.filter(|field| !field.is_empty()).map(|f| f.escape_ascii().to_string()).collect()
}
