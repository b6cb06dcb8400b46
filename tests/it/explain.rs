use std::{collections::BTreeSet, fs, io::Write, net::TcpStream, net::UdpSocket, path::Path};

use coco_tests::{
    coco::{self, Coco},
    corpus, datagram, http,
    process::folder,
    sink::{LineSink, UdpSink},
    wait::{SOON, wait_for, wait_until},
};
use serde_json::Value;

/// Two tiers of lines and two of collectd, each with another ring, and the sinks behind them.
struct Running {
    coco: Coco,
    sinks: (Vec<LineSink>, Vec<UdpSink>),
}

const TIERS: [&str; 4] = ["archive", "cache", "old", "short"];

fn start() -> Running {
    let line_sinks: Vec<_> = (0..6).map(|_| LineSink::start()).collect();
    let udp_sinks: Vec<_> = (0..6).map(|_| UdpSink::start()).collect();
    let [l0, l1, l2, l3, l4, l5] = std::array::from_fn(|at| line_sinks[at].address());
    let [u0, u1, u2, u3, u4, u5] = std::array::from_fn(|at| udp_sinks[at].address());
    let coco = Coco::start(&format!(
        "[listen]\nbind = \"127.0.0.1:0\"\n[graphite]\nbind = \"127.0.0.1:0\"\n\
         [filter]\nblacklist = \"vmem\"\n\
         [tiers.archive]\nprotocol = \"graphite\"\nhash = \"c-relay/carbon_ch\"\nreplicas = 2\n\
         targets = [\"{l0}:a\", \"{l1}:b\", \"{l2}:c\"]\n\
         [tiers.cache]\nprotocol = \"graphite\"\nhash = \"carbon/fnv1a_ch\"\nnormalize_tags = true\n\
         targets = [\"{l3}:a\", \"{l4}:b\", {{ address = \"{l5}\", hash_as = \"10.0.0.9:2003:c\", id = \"c\" }}]\n\
         [tiers.old]\nhash = \"coco\"\ntargets = [\"{u0}\", \"{u1}\", \"{u2}\"]\n\
         [tiers.short]\n\
         targets = [\"{u3}\", {{ address = \"{u4}\", id = \"b\", weight = 2, zone = \"z\" }}, \"{u5}\"]\n"
    ));
    Running { coco, sinks: (line_sinks, udp_sinks) }
}

/// Runs `coco` and returns what it says on standard output; its exit code must be this one.
#[track_caller]
fn run(arguments: &[&str], code: i32) -> String {
    let output = coco::run(arguments, b"");
    let (out, error) = (String::from_utf8(output.stdout), String::from_utf8(output.stderr));
    let (out, error) = (out.unwrap(), error.unwrap());
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {out}{error}");
    if code == 0 { out } else { error }
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Without what a file cannot know.
fn of_file(mut running: Value) -> Value {
    running.as_object_mut().unwrap().remove("epoch").expect("a running Coco has an epoch");
    for tier in running["tiers"].as_array_mut().unwrap() {
        // A tier that refuses the name has none.
        let owners = tier.get_mut("owners").and_then(Value::as_array_mut);
        for owner in owners.into_iter().flatten() {
            for key in ["state", "held", "queued_bytes"] {
                owner.as_object_mut().unwrap().remove(key).expect(key);
            }
        }
    }
    running
}

#[test]
fn a_name_is_explained_alike_by_text_and_json_and_by_api_command_line_and_file() {
    let Running { coco, sinks: _sinks } = start();
    let (url, file) = (format!("http://{}", coco.api()), coco.config_file());
    let file = file.to_str().unwrap();
    for name in ["web01.load", "a..b/c;z=1;a=2", ".caf\u{e9}.", "host.vmem.x", "web 17", "..."] {
        let path = format!("/explain?name={}", http::encode(name.as_bytes()));
        let explained = coco.get_json(&format!("{path}&format=json"));
        let accepting = http::get_accepting_json(coco.api(), &path).unwrap().body;
        for other in [accepting, run(&["explain", "--url", &url, "--json", name], 0)] {
            assert_eq!(of_file(json(&other)), of_file(explained.clone()), "{name}");
        }
        let from_file = json(&run(&["explain", "--config", file, "--json", name], 0));
        assert_eq!(from_file, of_file(explained.clone()), "{name}");

        let text = wait_for("two equal texts", SOON, || {
            let (api, command) = (coco.get(&path).body, run(&["explain", "--url", &url, name], 0));
            if api == command { Ok(api) } else { Err(format!("{api}{command}")) }
        });
        let file_text = run(&["explain", "--config", file, name], 0);
        assert_eq!(explained["filtered"], name.contains("vmem"), "{explained}");
        let (tiers, owners) =
            (explained["tiers"].as_array().unwrap(), coco.lookup(name.as_bytes()));
        assert_eq!(tiers.len(), TIERS.len());
        for (tier, due) in tiers.iter().zip(TIERS) {
            assert_eq!(tier["tier"], due);
            let refused = tier["refused"] == true;
            // Of dots alone nothing is left; and no line has a name with a blank.
            let no_name = match due {
                "archive" => ["...", "web 17"].contains(&name),
                "cache" => name == "web 17",
                _ => false,
            };
            assert_eq!(refused, no_name, "{tier}");
            let facts = if refused { vec!["refused: "] } else { facts(tier, &owners[due]) };
            for fact in facts {
                assert!(text.contains(fact) && file_text.contains(fact), "no {fact} in {text}");
            }
        }
    }
    for (path, what) in [("/explain", "name"), ("/explain?name=a&format=xml", "xml")] {
        let answer = coco.get(path);
        assert_eq!((answer.status, answer.body.contains(what)), (400, true), "{}", answer.body);
    }
    coco.stop();
    assert!(run(&["explain", "--url", &url, "a"], 1).contains(&url));
}

/// What the text must have of a tier's JSON, whose owners are these.
#[track_caller]
fn facts<'t>(tier: &'t Value, due: &Value) -> Vec<&'t str> {
    let owners = tier["owners"].as_array().unwrap().iter();
    let owners: Vec<_> = owners.map(|owner| owner["target"].as_str().unwrap()).collect();
    assert_eq!(*due, owners.join(","), "{tier}");
    let facts = ["key", "hash", "hash_function", "spot"].map(|fact| tier[fact].as_str().unwrap());
    let digest = tier["ring"]["digest"].as_str().unwrap();
    [&owners[..], &facts, &[digest]].concat()
}

#[test]
fn many_names_posted_have_the_answers_of_the_command_line() {
    let Running { coco, sinks: _sinks } = start();
    let mut random = corpus::random();
    let names: Vec<_> = (0..10_000).map(|n| corpus::untidy_name(&mut random, n)).collect();
    // The HTTP of the tests reads text only.
    let body = String::from_utf8_lossy(&names.join(&b'\n')).into_owned();
    let file = coco.config_file();
    let command = coco::run(&["lookup", "--config", file.to_str().unwrap()], body.as_bytes());
    let command = String::from_utf8(command.stdout).unwrap();
    assert_eq!(command.lines().count(), TIERS.len() * names.len());
    for end in ["", "\n"] {
        let answer = http::post(coco.api(), "/lookup", (body.clone() + end).as_bytes()).unwrap();
        assert_eq!(answer.status, 200);
        assert!(answer.body == command, "{} and {} bytes", answer.body.len(), command.len());
    }
    assert_eq!(http::post(coco.api(), "/lookup", b"").unwrap().status, 400);
    let flood = http::post(coco.api(), "/lookup", &vec![b'\n'; 3 << 20]).unwrap();
    assert_eq!(flood.status, 413, "{}", flood.body);
    assert!(flood.body.contains("send fewer at a time"), "{}", flood.body);
    coco.stop();
}

#[test]
fn a_ring_has_one_digest_wherever_it_is_asked() {
    let Running { coco, sinks: _sinks } = start();
    let (tiers, vars) = (coco.get_json("/tiers"), coco.get_json("/debug/vars"));
    let metrics = coco.get("/metrics").body;
    let explained = coco.get_json("/explain?name=x&format=json");
    let checked = run(&["check", coco.config_file().to_str().unwrap()], 0);
    let mut digests = BTreeSet::new();
    for (place, tier) in TIERS.iter().enumerate() {
        let (hash, digest) = (&tiers[place]["hash"], &tiers[place]["digest"]);
        assert_eq!(tiers[place]["name"], *tier);
        let ring = &explained["tiers"][place]["ring"];
        assert_eq!((&ring["hash"], &ring["digest"]), (hash, digest));
        let ring = &vars["rings"][tier];
        assert_eq!((&ring["hash"], &ring["digest"]), (hash, digest));
        let labels = format!("{{tier=\"{tier}\",hash={hash},digest={digest}}} 1\n");
        assert!(metrics.contains(&format!("coco_ring_info{labels}")), "{metrics}");
        let line = checked.lines().find(|line| line.starts_with(&format!("tier {tier}: ")));
        let line = line.unwrap_or_else(|| panic!("no {tier} in {checked}"));
        for part in [hash, digest].map(|part| part.as_str().unwrap()) {
            assert!(line.contains(part), "no {part} in {line}");
        }
        digests.insert(digest.as_str().unwrap().to_owned());
    }
    assert_eq!(digests.len(), TIERS.len(), "no two of them are alike: {digests:?}");
    coco.stop();
}

#[test]
fn check_tells_whether_a_file_is_what_runs() {
    let Running { coco, sinks: _sinks } = start();
    let url = format!("http://{}", coco.api());
    let config = fs::read_to_string(coco.config_file()).unwrap();
    let folder = folder();
    let check = |config: &str, code| {
        let file = folder.path().join("other.toml");
        fs::write(&file, config).unwrap();
        run(&["check", file.to_str().unwrap(), "--against", &url], code)
    };
    assert!(check(&config, 0).contains("the same tiers, rings and targets"));
    let digest = |tier: usize| coco.get_json("/tiers")[tier]["digest"].as_str().unwrap().to_owned();
    // Each change, and what must be told about it.
    for (old, new, tier, words) in [
        ("replicas = 2", "replicas = 1", 0, vec!["archive", "replicas 1"]),
        (":a\", \"", ":x\", \"", 0, vec!["archive"]),
        ("carbon/fnv1a_ch", "carbon/carbon_ch", 1, vec!["cache", "carbon/carbon_ch", "fnv1a_ch"]),
        ("weight = 2", "weight = 3", 3, vec!["short"]),
    ] {
        let said = check(&config.replacen(old, new, 1), 3);
        let digest = digest(tier);
        for word in words.into_iter().chain([&digest[..]]) {
            assert!(said.contains(word), "{old}: no {word} in {said}");
        }
    }
    // The ring is the same, and yet some names go elsewhere.
    for (old, new, words) in [
        (
            "normalize_tags = true",
            "",
            "tier cache: `names` is carbon in the file, and carbon, normalize_tags",
        ),
        (
            "[tiers.short]",
            "[tiers.short]\nkey = \"series\"",
            "tier short: `key` is series in the file, and host",
        ),
    ] {
        let said = check(&config.replace(old, new), 3);
        assert!(said.contains(words) && !said.contains("digest"), "{said}");
    }
    let said = check(&config.replace("[tiers.old]", "[tiers.older]"), 3);
    for words in ["tier older is not there", "tier old is there, and not in the file"] {
        assert!(said.contains(words), "{said}");
    }
    // What is hashed is another address, or an id, and the same: only where it is sent is another.
    let said = check(&config.replace("address = \"127.0.0.1:", "address = \"127.0.0.2:"), 3);
    for tier in ["cache", "short"] {
        assert!(said.contains(&format!("tier {tier}: target ")), "{said}");
    }
    assert!(!said.contains("digest"), "{said}");
    run(&["check", "--against", "http://127.0.0.1:1", coco.config_file().to_str().unwrap()], 1);
    coco.stop();
}

#[test]
fn the_order_of_targets_counts_where_the_ring_says_so() {
    let folder = folder();
    let digest = |hash: &str, targets: [&str; 3]| {
        let config = format!(
            "[listen]\nbind = \"127.0.0.1:0\"\n[graphite]\nbind = \"127.0.0.1:0\"\n\
             [tiers.t]\nprotocol = \"graphite\"\nhash = \"{hash}\"\ntargets = {targets:?}\n"
        );
        let file = folder.path().join("coco.toml");
        fs::write(&file, config).unwrap();
        digest_of(&file)
    };
    let [a, b, c] = ["10.0.0.1:2003:a", "10.0.0.2:2003:b", "10.0.0.3:2003:c"];
    for (hash, counts) in [
        ("xxh3", false),
        ("coco", true),
        ("carbon/carbon_ch", true),
        ("c-relay/carbon_ch", false),
        ("c-relay/fnv1a_ch", false),
        ("c-relay/any_of", true),
    ] {
        let (one, again, other) =
            (digest(hash, [a, b, c]), digest(hash, [a, b, c]), digest(hash, [c, a, b]));
        assert_eq!(one, again, "{hash}");
        assert_eq!(one != other, counts, "{hash}: {one} and {other}");
    }
}

/// The digest of the only tier of a file.
fn digest_of(file: &Path) -> String {
    let said = run(&["check", file.to_str().unwrap()], 0);
    let (_, digest) = said.split_once("digest ").unwrap_or_else(|| panic!("{said}"));
    digest.lines().next().unwrap().to_owned()
}

#[test]
fn series_lists_what_was_sent() {
    let Running { coco, sinks: _sinks } = start();
    let mut random = corpus::random();
    let name = |number| corpus::metric_name(&mut random, number);
    let names: Vec<_> = (0..500).map(name).collect();
    let mut lines: Vec<_> = names.iter().map(|n| format!("{n} 1 1700000000\n")).collect();
    // Twice is once.
    lines.extend_from_within(..100);
    TcpStream::connect(coco.listener("line-tcp"))
        .unwrap()
        .write_all(lines.concat().as_bytes())
        .unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let to = coco.listener("collectd");
    let mut due: BTreeSet<_> = names.iter().map(|name| format!("graphite\t{name}")).collect();
    for host in 0..50 {
        let datagram = datagram::gauge(&format!("host{host}"), "load", "x", 1_700_000_000, 1.0);
        socket.send_to(&datagram, to).unwrap();
        due.insert(format!("collectd\thost{host}\thost{host}/load/gauge-x"));
    }
    wait_until("all series", SOON, || coco.get("/series").body.lines().count() > due.len());
    let body = coco.get("/series").body;
    let mut listed = body.lines();
    assert_eq!(listed.next(), Some("#series 550 of 550"));
    let listed: Vec<_> = listed.map(str::to_owned).collect();
    assert_eq!(listed.len(), due.len());
    assert_eq!(BTreeSet::from_iter(listed), due);
    coco.settle();
    coco.stop();
}
