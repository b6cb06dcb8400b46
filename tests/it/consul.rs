use std::{
    env, fs,
    net::SocketAddr,
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use coco_tests::{
    coco::{self, Coco, targets},
    feed::Feed,
    http,
    process::Signal,
    sink::LineSink,
    wait::{SOON, wait_for, wait_until},
};
use nix::{sys::signal, unistd::Pid};
use serde_json::Value;

/// Longer than a window takes to fill and to change, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// Consul keeps so much of what a check says.
const OUTPUT_BYTES: usize = 4096;

/// What Consul makes of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Passing,
    Warning,
    Critical,
}

/// A check as a file defines it.
#[derive(Debug, Clone)]
struct Check {
    id: String,
    how: How,
    timeout: Duration,
    /// It belongs to the service, which is taken out when it is critical.
    of_service: bool,
}

#[derive(Debug, Clone)]
enum How {
    Http(String),
    Script(Vec<String>),
}

/// The checks of a file, its service's first.
fn checks(file: &str) -> Vec<Check> {
    let path = coco::root().join("deploy/consul").join(file);
    let json: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let list = |at: &Value| at.as_array().cloned().unwrap_or_default();
    let of_service = list(&json["service"]["checks"]).into_iter().map(|check| (check, true));
    let of_node = list(&json["checks"]).into_iter().map(|check| (check, false));
    of_service.chain(of_node).map(|(json, of_service)| check(&json, of_service)).collect()
}

fn check(json: &Value, of_service: bool) -> Check {
    let text = |key: &str| json[key].as_str().unwrap_or_else(|| panic!("no {key} in {json}"));
    let seconds = |key: &str| {
        let number = text(key).strip_suffix('s').expect("whole seconds").parse();
        Duration::from_secs(number.expect("whole seconds"))
    };
    let how = match json["args"].as_array() {
        Some(args) => {
            How::Script(args.iter().map(|arg| arg.as_str().unwrap().to_owned()).collect())
        }
        None => How::Http(text("http").to_owned()),
    };
    assert!(seconds("timeout") <= seconds("interval"), "{json}");
    assert!(!text("name").is_empty(), "{json}");
    Check { id: text("id").to_owned(), how, timeout: seconds("timeout"), of_service }
}

#[track_caller]
fn find(checks: &[Check], id: &str) -> Check {
    checks.iter().find(|check| check.id == id).unwrap_or_else(|| panic!("no check {id}")).clone()
}

impl Check {
    /// Runs it as Consul would, with this address for that of the router.
    fn run(&self, api: SocketAddr) -> (Status, String) {
        match &self.how {
            How::Http(url) => {
                let path = url.strip_prefix("http://127.0.0.1:9090").expect("the router's address");
                match http::get_within(api, path, self.timeout) {
                    Ok(answer) => {
                        let status = match answer.status {
                            200..=299 => Status::Passing,
                            429 => Status::Warning,
                            _ => Status::Critical,
                        };
                        (status, answer.body)
                    }
                    Err(why) => (Status::Critical, why),
                }
            }
            How::Script(args) => {
                let host = args.iter().position(|arg| arg == "--host").expect("a host") + 1;
                assert!(["coco.example", "127.0.0.1"].contains(&args[host].as_str()), "{args:?}");
                let mut args = args.clone();
                args[host] = api.to_string();
                script(&args, self.timeout)
            }
        }
    }

    /// Waits until it comes to this.
    #[track_caller]
    fn wait_for(&self, coco: &Coco, status: Status) -> String {
        wait_for(&format!("{} to be {status:?}", self.id), PATIENCE, || {
            let (is, output) = self.run(coco.api());
            if is == status { Ok(output) } else { Err(format!("{is:?}: {output}")) }
        })
    }
}

/// A program with a limit: 0 is passing, 1 a warning, all else critical.
fn script(args: &[String], limit: Duration) -> (Status, String) {
    let folder = coco::binary().parent().unwrap().as_os_str().to_owned();
    let path = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths([folder.into()].into_iter().chain(env::split_paths(&path))).unwrap();
    let child = Command::new(&args[0])
        .args(&args[1..])
        .env("PATH", path)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{args:?}: {error}"));
    let id = Pid::from_raw(child.id().try_into().unwrap());
    let (done, output) = mpsc::channel();
    let waiter = thread::spawn(move || done.send(child.wait_with_output()));
    let output = output.recv_timeout(limit);
    if output.is_err() {
        signal::kill(id, Signal::SIGKILL).unwrap();
    }
    waiter.join().unwrap().ok();
    let Ok(output) = output else { return (Status::Critical, "timed out".to_owned()) };
    let output = output.unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(said.len() <= OUTPUT_BYTES, "Consul would cut {} bytes", said.len());
    let status = match output.status.code() {
        Some(0) => Status::Passing,
        Some(1) => Status::Warning,
        _ => Status::Critical,
    };
    (status, String::from_utf8_lossy(&said).into_owned())
}

/// A router whose history holds 36 s, so that a window of ten minutes is soon as full as it gets.
fn config(addresses: &[String]) -> String {
    format!(
        "[graphite]\nbind = \"127.0.0.1:0\"\n[measure]\ninterval = \"100ms\"\n\
         [limits]\ndrain_timeout = \"1s\"\ndrain_delay = \"2s\"\n\
         [tiers.carbon]\nprotocol = \"graphite\"\n{}",
        targets(addresses)
    )
}

const TALK: [&str; 3] = ["coco-expvars", "lookup", "anomalous_coco_errors"];

#[test]
fn the_definitions_of_the_talk_are_as_they_were() {
    let checks = checks("coco-1.x.json");
    let ids: Vec<_> = checks.iter().map(|check| check.id.as_str()).collect();
    assert_eq!(ids, TALK);
    let what = checks.iter().map(|check| match &check.how {
        How::Http(url) => (url.clone(), check.timeout.as_secs()),
        How::Script(args) => (args.join(" "), check.timeout.as_secs()),
    });
    let what: Vec<_> = what.collect();
    assert_eq!(
        what,
        [
            ("http://127.0.0.1:9090/debug/vars".to_owned(), 1),
            ("http://127.0.0.1:9090/lookup?name=hello".to_owned(), 1),
            ("anomalous_coco_errors --host coco.example --window 10m".to_owned(), 5),
        ]
    );
}

#[test]
fn they_pass_and_go_critical_when_the_process_hangs_or_a_target_refuses() {
    let (sink, dying) = (LineSink::start(), LineSink::start());
    let coco = Coco::start(&config(&[&sink, &dying].map(|sink| sink.address().to_string())));
    let (talk, ours) = (checks("coco-1.x.json"), checks("coco.json"));
    let feed = Feed::start(coco.listener("line-tcp"), 500);
    // Too little history is never good; ours asks for a warning.
    let (status, said) = find(&talk, TALK[2]).run(coco.api());
    assert!(status == Status::Critical && said.starts_with("UNKNOWN: "), "{said}");
    let (status, said) = find(&ours, "coco-send").run(coco.api());
    assert!(status == Status::Warning && said.starts_with("UNKNOWN: "), "{said}");
    for check in talk.iter().chain(&ours) {
        check.wait_for(&coco, Status::Passing);
    }

    coco.signal(Signal::SIGSTOP);
    thread::scope(|scope| {
        for check in talk.iter().chain(&ours) {
            scope.spawn(|| {
                let wanted = match &check.how {
                    // What cannot be judged is a warning there, and the other checks are critical.
                    How::Script(args) if args.contains(&"--unknown-as".to_owned()) => {
                        [Status::Warning, Status::Critical]
                    }
                    _ => [Status::Critical; 2],
                };
                let (status, said) = check.run(coco.api());
                assert!(wanted.contains(&status), "{}: {status:?}: {said}", check.id);
            });
        }
    });
    coco.signal(Signal::SIGCONT);
    for check in talk.iter().chain(&ours) {
        check.wait_for(&coco, Status::Passing);
    }

    let gone = dying.address().to_string();
    drop(dying);
    let said = find(&talk, TALK[2]).wait_for(&coco, Status::Critical);
    assert!(said.starts_with("CRITICAL: "), "{said}");
    find(&ours, "coco-send").wait_for(&coco, Status::Critical);
    let said = find(&ours, "coco-targets").wait_for(&coco, Status::Warning);
    let said: Value = serde_json::from_str(&said).unwrap();
    let tier = &said["tiers"]["carbon"];
    assert_eq!((&said["grade"], &tier["grade"]), (&"warn".into(), &"warn".into()), "{said}");
    assert!(tier["reasons"][0].as_str().unwrap().starts_with(&gone), "{said}");
    // A dead store takes no router out of service.
    for check in ours.iter().filter(|check| check.of_service) {
        assert_eq!(check.run(coco.api()).0, Status::Passing, "{}", check.id);
    }
    drop(sink);
    find(&ours, "coco-targets").wait_for(&coco, Status::Critical);
    drop(feed);
    coco.signal(Signal::SIGTERM);
    find(&ours, "coco-readyz").wait_for(&coco, Status::Critical);
    assert_eq!(find(&ours, "coco-livez").run(coco.api()).0, Status::Passing);
    coco.wait();
}

#[test]
fn a_tier_without_a_ring_is_critical_until_it_gets_one() {
    let sink = LineSink::start();
    let coco = Coco::start_unready(&config(&[]));
    let (talk, ours) = (checks("coco-1.x.json"), checks("coco.json"));
    let feed = Feed::start(coco.listener("line-tcp"), 500);
    let (status, said) = find(&talk, "lookup").run(coco.api());
    assert_eq!(
        (status, said.as_str()),
        (Status::Critical, r#"{"error":"tier carbon has no ring"}"#)
    );
    let (status, said) = find(&ours, "coco-readyz").run(coco.api());
    assert!(status == Status::Critical && said.contains("tier carbon has no ring"), "{said}");
    let said = find(&talk, TALK[2]).wait_for(&coco, Status::Critical);
    assert!(
        said.starts_with("CRITICAL: errors lookup.hash.get last") || said.starts_with("UNKNOWN"),
        "{said}"
    );
    wait_for("the errors of the lookups", SOON, || {
        let (_, said) = find(&talk, TALK[2]).run(coco.api());
        if said.starts_with("CRITICAL: errors lookup.hash.get last") { Ok(()) } else { Err(said) }
    });
    assert_eq!(find(&ours, "coco-targets").run(coco.api()).0, Status::Critical);
    for (file, id) in [(&talk, "coco-expvars"), (&ours, "coco-livez")] {
        assert_eq!(find(file, id).run(coco.api()).0, Status::Passing, "{id}");
    }
    // What came is shed by that name, and nothing else is said of it.
    let shed = coco.ledger().json()["tiers"][0]["no_ring"].as_u64().unwrap();
    assert!(shed > 0, "{}", coco.ledger());
    let vars = coco.get_json("/debug/vars");
    assert!(vars["coco"]["shed"]["no_ring"].as_u64().unwrap() >= shed, "{vars}");
    let metrics = coco.get("/metrics").body;
    let named = "coco_target_shed_total{tier=\"carbon\",target=\"\",reason=\"no_ring\"} ";
    assert!(metrics.contains(named), "{metrics}");
    assert!(coco.log().contains("no targets, so the tier has no ring"), "{}", coco.log());
    assert_eq!(coco.get_json("/tiers")[0]["targets"], serde_json::json!([]));

    let changes = coco.reload(&config(&[sink.address().to_string()]));
    assert_eq!(changes["tiers"]["changed"], serde_json::json!(["carbon"]), "{changes}");
    find(&talk, "lookup").wait_for(&coco, Status::Passing);
    find(&ours, "coco-readyz").wait_for(&coco, Status::Passing);
    wait_until("lines", SOON, || sink.count() > 100);
    // A list that has lost its entries takes nothing away.
    coco.rewrite(&config(&[]));
    let refused = coco.ask_to_reload();
    assert!(
        refused.status != 200 && refused.body.contains("tier carbon has a ring"),
        "{}",
        refused.body
    );
    // Neither does a hand-over.
    coco.signal(Signal::SIGUSR2);
    wait_until("the refusal", SOON, || {
        coco.log().contains("not upgraded, and nothing has changed")
    });
    assert_eq!(coco.log().matches("tier carbon has a ring, and").count(), 2, "{}", coco.log());
    assert_eq!(find(&talk, "lookup").run(coco.api()).0, Status::Passing);
    drop(feed);
    coco.settle();
    let ledger = coco.stop().ledger;
    let tier = &ledger.json()["tiers"][0];
    let number = |key: &str| tier[key].as_u64().unwrap();
    assert_eq!(number("routed"), number("no_ring") + number("due"), "{ledger}");
}
