//! What is on disk when the configuration changes under it: another protocol of its tier, another folder, and
//! what a crash has torn. Nothing is lost without a word.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    net::{TcpStream, UdpSocket},
    path::{Path, PathBuf},
    process::Output,
};

use coco_tests::{
    coco::{self, Coco},
    datagram,
    port::free_port,
    process::{Signal, folder},
    sink::LineSink,
    wait::{SOON, wait_until},
};

/// Lines that are put on disk.
const COUNT: usize = 2_000;

/// A Coco that takes lines and collectd's samples, with `spool` of its section and `tiers`.
fn config(spool: &str, tiers: &str) -> String {
    format!(
        "[listen]\nbind = \"127.0.0.1:0\"\n[graphite]\nbind = \"127.0.0.1:0\"\n{spool}\n{tiers}\n"
    )
}

fn spool_in(directory: &Path) -> String {
    format!("[spool]\ndirectory = {directory:?}\n")
}

/// A tier of one target.
fn tier(name: &str, protocol: &str, id: &str, port: u16) -> String {
    format!(
        "[tiers.{name}]\nprotocol = \"{protocol}\"\n\
         targets = [{{ address = \"127.0.0.1:{port}\", id = \"{id}\" }}]\n"
    )
}

fn lines(numbers: std::ops::Range<usize>) -> Vec<u8> {
    numbers.flat_map(|number| format!("a.name {number} 1700000000\n").into_bytes()).collect()
}

fn send(coco: &Coco, bytes: &[u8]) {
    TcpStream::connect(coco.listener("line-tcp")).unwrap().write_all(bytes).unwrap();
}

#[track_caller]
fn wait_for_spooled(coco: &Coco, count: u64) {
    coco.wait_for_ledger("samples on disk", SOON, |ledger| {
        let now = ledger.of_all("spooled");
        if now == count { Ok(()) } else { Err(format!("{now} spooled")) }
    });
}

/// A Coco with this configuration that has put all lines on disk.
fn with_lines_on_disk(config: &str) -> Coco {
    let coco = Coco::start(config);
    send(&coco, &lines(0..COUNT));
    wait_for_spooled(&coco, COUNT as u64);
    coco
}

fn spool(directory: &Path, words: &[&str]) -> Output {
    coco::run(&[&["spool", directory.to_str().unwrap()], words].concat(), b"")
}

/// Tier, target and samples of each folder.
fn listed(directory: &Path) -> Vec<(String, String, String)> {
    let text = String::from_utf8(spool(directory, &["ls"]).stdout).unwrap();
    let rows = text.lines().skip(1).map(|row| row.split('\t').collect::<Vec<_>>());
    rows.map(|row| (row[1].to_owned(), row[2].to_owned(), row[3].to_owned())).collect()
}

/// All lines are on disk for this target, and no others.
#[track_caller]
fn assert_kept(directory: &Path, tier: &str, id: &str) {
    let kept = (tier.to_owned(), id.to_owned(), COUNT.to_string());
    let listed = listed(directory);
    assert!(listed.contains(&kept), "{listed:?}");
}

/// Upgrades to this configuration, which must fail; gives the log.
#[track_caller]
fn refused_upgrade(coco: &Coco, config: &str) -> String {
    let before = coco.log().matches("not upgraded").count();
    coco.rewrite(config);
    coco.signal(Signal::SIGUSR2);
    wait_until("the refusal", SOON, || coco.log().matches("not upgraded").count() > before);
    coco.log()
}

#[test]
fn what_is_on_disk_in_another_protocol_than_its_tier_has_now_stays_there() {
    let (dir, port) = (folder(), free_port());
    let with = |protocol: &str| config(&spool_in(dir.path()), &tier("g", protocol, "a", port));
    let (before, after) = (with("graphite"), with("collectd"));
    with_lines_on_disk(&before).stop();

    // At a start: what comes then is kept in memory, and sent.
    let receiver = UdpSocket::bind(("127.0.0.1", port)).unwrap();
    receiver.set_read_timeout(Some(SOON)).unwrap();
    let coco = Coco::start(&after);
    let log = coco.log();
    let words = ["WARN", "in another protocol than that of its tier", "samples=2000", "tier=\"g\""];
    let is_said = |line: &str| words.iter().all(|word| line.contains(word));
    assert!(log.lines().any(is_said), "{log}");
    assert!(!log.contains("found on disk; it is sent first"), "{log}");
    let client = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
    client.connect(coco.listener("collectd")).unwrap();
    client.send(&datagram::gauge("web1", "cpu", "x", 1_700_000_000, 1.0)).unwrap();
    receiver.recv(&mut [0; 2048]).unwrap();
    let ended = coco.stop();
    assert_eq!((ended.ledger.of_all("sent"), ended.ledger.shed_in_all()), (1, 0));
    assert_eq!(ended.ledger.of_all("spooled"), COUNT as u64);
    assert_kept(dir.path(), "g", "a");

    // By hand: nothing that its tier does not take is moved.
    let file = dir.path().join("after.toml");
    fs::write(&file, config(&spool_in(dir.path()), &tier("g", "collectd", "b", port))).unwrap();
    let moved = spool(dir.path(), &["reroute", "--config", file.to_str().unwrap()]);
    let said = String::from_utf8(moved.stderr).unwrap();
    assert_eq!(moved.status.code(), Some(3), "{said}");
    assert_eq!(moved.stdout, b"tier\tfrom\tto\tsamples\n");
    assert!(said.contains("speaks another protocol now: 2000 samples for a stay"), "{said}");
    assert_kept(dir.path(), "g", "a");

    // The protocol of before gives all of it.
    let sink = LineSink::start_on(port);
    let coco = Coco::start(&before);
    wait_until("all lines", SOON, || sink.count() == COUNT);
    wait_for_spooled(&coco, 0);
    assert_eq!(coco.stop().ledger.shed_in_all(), 0);
}

#[test]
fn what_is_on_disk_for_a_tier_that_does_not_spool_now_is_told_of_and_goes_when_it_does() {
    let (dir, port) = (folder(), free_port());
    let spools = tier("g", "graphite", "a", port);
    let blocks = spools.replace("protocol", "on_full = \"block\"\nprotocol");
    let with = |tier: &str| config(&spool_in(dir.path()), tier);
    with_lines_on_disk(&with(&spools)).stop();
    let sink = LineSink::start_on(port);
    let coco = Coco::start(&with(&blocks));
    let is_said = || coco.log().contains("for a target whose tier does not spool now");
    wait_until("word of it", SOON, is_said);
    assert!(!coco.log().contains("for a target that is in no tier"), "{}", coco.log());
    coco.reload(&with(&spools));
    wait_until("all lines", SOON, || sink.count() == COUNT);
    wait_for_spooled(&coco, 0);
    assert_eq!(coco.stop().ledger.shed_in_all(), 0);
}

#[test]
fn a_reload_to_another_protocol_loses_nothing_that_is_on_disk() {
    let (dir, port) = (folder(), free_port());
    let always = tier("other", "graphite", "x", free_port());
    let with = |tiers: &str| {
        let spool = format!("{}on_change = \"reroute\"\n", spool_in(dir.path()));
        config(&spool, &format!("{always}{tiers}"))
    };
    let start = with(&tier("g", "graphite", "a", port));
    let coco = Coco::start(&start);
    send(&coco, &lines(0..COUNT));
    wait_for_spooled(&coco, 2 * COUNT as u64);

    // Under the same id, at once and after it was away: refused.
    let other = tier("g", "collectd", "a", port);
    coco.rewrite(&with(&other));
    let refused = |coco: &Coco| {
        let answer = coco.ask_to_reload();
        assert_eq!(answer.status, 409, "{}", answer.body);
        assert!(answer.body.contains("is in the protocol of its tier"), "{}", answer.body);
    };
    refused(&coco);
    coco.reload(&with(""));
    coco.rewrite(&with(&other));
    refused(&coco);
    wait_for_spooled(&coco, 2 * COUNT as u64);
    // It is back at the same address.
    coco.reload(&start);
    wait_until("its spool", SOON, || coco.log().contains("its spool goes on tier="));
    assert!(!coco.log().contains("at another address"), "{}", coco.log());
    // Under another id: the new targets are no owners of it.
    coco.reload(&with(&tier("g", "collectd", "b", port)));
    wait_for_spooled(&coco, 2 * COUNT as u64);
    assert_eq!(coco.stop().ledger.shed_in_all(), 0);
    assert_kept(dir.path(), "g", "a");
}

#[test]
fn an_upgrade_that_would_leave_what_is_on_disk_behind_changes_nothing() {
    let (dir, port) = (folder(), free_port());
    let there = |name: &str| spool_in(&dir.path().join(name));
    let graphite = tier("g", "graphite", "a", port);
    let mut coco = with_lines_on_disk(&config(&there("one"), &graphite));
    for spool in [there("two"), String::new()] {
        let log = refused_upgrade(&coco, &config(&spool, &graphite));
        assert!(log.contains("that takes a restart"), "{log}");
    }
    let collectd = config(&there("one"), &tier("g", "collectd", "a", port));
    let log = refused_upgrade(&coco, &collectd);
    assert!(log.contains("what is on disk for tier g, or goes there, is in the protocol"), "{log}");
    let blocks = graphite.replace("protocol", "on_full = \"block\"\nprotocol");
    let log = refused_upgrade(&coco, &config(&there("one"), &blocks));
    assert!(log.contains("tier g does not spool any more"), "{log}");

    // By another way to the same folder, and by another protocol for the same lines, it goes on.
    let pickle = tier("g", "graphite-pickle", "a", port);
    coco.rewrite(&config(&there("one/../one"), &pickle));
    let ended = coco.upgrade();
    assert_eq!(ended.ledger.of_all("spooled"), COUNT as u64);
    wait_for_spooled(&coco, COUNT as u64);
    coco.rewrite(&config(&there("one"), &graphite));
    coco.upgrade();
    let sink = LineSink::start_on(port);
    wait_until("all lines", SOON, || sink.count() == COUNT);
    wait_for_spooled(&coco, 0);
    // Nothing is on disk, but what is on its way may go there until the old process has ended.
    refused_upgrade(&coco, &config(&there("two"), &graphite));
    coco.stop();
}

/// The last file of the only target that has any.
fn last_segment(directory: &Path) -> PathBuf {
    let folders = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let files = folders.filter(|path| path.is_dir()).flat_map(|folder| {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>()
    });
    files.filter(|path| path.extension().is_some_and(|e| e == "seg")).max().unwrap()
}

#[test]
fn the_torn_end_that_a_crash_leaves_is_told_of_and_counted() {
    let (dir, port) = (folder(), free_port());
    let text = config(&spool_in(dir.path()), &tier("g", "graphite", "a", port));
    let coco = with_lines_on_disk(&text);
    send(&coco, &lines(COUNT..COUNT + 1_000));
    wait_for_spooled(&coco, COUNT as u64 + 1_000);
    coco.signal(Signal::SIGKILL);
    let segment = last_segment(dir.path());
    let length = fs::metadata(&segment).unwrap().len();
    OpenOptions::new().write(true).open(&segment).unwrap().set_len(length - 10).unwrap();

    let coco = Coco::start(&text);
    let lost = COUNT as u64 + 1_000 - coco.ledger().of_all("recovered");
    let log = coco.log();
    let line = log.lines().find(|line| line.contains("the end of what was written was torn"));
    let line = line.unwrap_or_else(|| panic!("{log}"));
    assert!(line.contains("WARN") && lost > 0, "{line}");
    assert_eq!(coco::field(line, "samples"), lost.to_string());
    let bytes = coco::field(line, "bytes");
    let name = format!("127.0.0.1:{port}");
    let vars = coco.get_json("/debug/vars")["coco"]["spool"][&name].clone();
    assert_eq!(vars["damaged_bytes"].to_string(), bytes, "{vars}");
    let metrics = coco.get("/metrics").body;
    let row = format!("coco_spool_damaged_bytes_total{{tier=\"g\",target=\"{name}\"}} {bytes}\n");
    assert!(metrics.contains(&row), "{metrics}");
    coco.stop();
}

#[test]
fn what_the_commands_for_a_spool_do_not_do_is_said() {
    let (dir, port) = (folder(), free_port());
    let text = |output: &Output| {
        let [out, error] = [&output.stdout, &output.stderr].map(|t| String::from_utf8_lossy(t));
        (output.status.code(), out.into_owned(), error.into_owned())
    };
    let run = |words: &[&str]| text(&spool(dir.path(), words));
    let before = config(&spool_in(dir.path()), &tier("g", "graphite", "a", port));
    let other = folder();
    let file = other.path().join("coco.toml");
    fs::write(&file, &before).unwrap();
    for directory in [dir.path().to_owned(), dir.path().join("none")] {
        let reroute = ["reroute", "--config", file.to_str().unwrap()];
        for words in [&["ls"][..], &["verify"], &reroute] {
            let (status, out, error) = text(&spool(&directory, words));
            assert_eq!((status, out.as_str()), (Some(1), ""), "{error}");
            assert!(error.contains("is no spool") || error.contains("No such file"), "{error}");
        }
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "something was made in it");
    let coco = with_lines_on_disk(&before);
    let (status, _, error) = run(&["drop", "nosuch"]);
    assert_eq!(status, Some(1));
    assert!(
        error.contains("there is no folder nosuch; `ls` names those that there are"),
        "{error}"
    );
    coco.stop();

    let reroute = |text: &str, more: &[&str]| {
        fs::write(&file, text).unwrap();
        run(&[&["reroute", "--config", file.to_str().unwrap()], more].concat())
    };
    let header = "tier\tfrom\tto\tsamples\n";
    let (status, out, error) = reroute(&before, &["--target", "a"]);
    assert_eq!((status, out.as_str()), (Some(0), header));
    assert!(error.contains("2000 samples for a in g are its own, and stay with it"), "{error}");
    let none = config(&spool_in(dir.path()), "[tiers.g]\nprotocol = \"graphite\"\ntargets = []\n");
    let (status, out, error) = reroute(&none, &[]);
    assert_eq!((status, out.as_str()), (Some(3), header));
    assert!(
        error.contains("tier \"g\" has no targets in the configuration: 2000 samples"),
        "{error}"
    );
    assert!(error.contains("2000 samples stay where they are"), "{error}");
    assert_kept(dir.path(), "g", "a");

    let sink = LineSink::start_on(port);
    let coco = Coco::start(&before);
    wait_until("all lines", SOON, || sink.count() == COUNT);
    wait_for_spooled(&coco, 0);
    coco.stop();
    assert_eq!(run(&["verify"]), (Some(0), String::new(), String::new()));
}

#[test]
fn what_is_on_disk_goes_to_new_owners_that_speak_another_protocol_of_graphite() {
    let (dir, sink) = (folder(), LineSink::start());
    let spool = format!("{}on_change = \"reroute\"\n", spool_in(dir.path()));
    let coco = with_lines_on_disk(&config(&spool, &tier("g", "graphite-pickle", "a", free_port())));
    coco.reload(&config(&spool, &tier("g", "graphite", "b", sink.address().port())));
    wait_until("all lines", SOON, || sink.count() == COUNT);
    wait_for_spooled(&coco, 0);
    assert_eq!(sink.values("a.name"), (0..COUNT).collect::<Vec<_>>());
    assert_eq!(coco.stop().ledger.shed_in_all(), 0);
}
