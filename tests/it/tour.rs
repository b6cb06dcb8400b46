use std::{
    fs,
    io::Write,
    net::{TcpStream, UdpSocket},
    process::{Command, Stdio},
    sync::Mutex,
    time::Duration,
};

use coco_tests::{
    coco::{binary, root, target_dir},
    datagram, http,
    process::{Process, Signal, folder},
    wait::{SOON, wait_for},
};
use serde_json::Value;

/// The embedded default has fixed ports: one test at a time.
static PORTS: Mutex<()> = Mutex::new(());

/// A code block of the README that begins with this line is part of the tour.
const MARK: &str = "```sh tour";

#[test]
fn every_block_of_the_tour_in_the_readme_succeeds() {
    let readme = fs::read_to_string(root().join("README.md")).expect("README.md is there");
    let blocks = blocks(&readme);
    assert!(!blocks.is_empty(), "README.md has no block that begins with {MARK}");
    let _ports = PORTS.lock();
    let mut coco = start();
    let folder = folder();
    // Makes curl fail on an HTTP error.
    fs::write(folder.path().join(".curlrc"), "fail\nshow-error\n").unwrap();
    for block in blocks {
        // As often as a person would who sees that the sample is not there yet.
        wait_for(&block, Duration::from_secs(60), || {
            let output = Command::new("timeout")
                .args(["300", "bash", "-ec", &block])
                .current_dir(root())
                .stdin(Stdio::null())
                .env("CURL_HOME", folder.path())
                .env("CARGO_TARGET_DIR", target_dir())
                .output()
                .expect("bash starts");
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8_lossy(&said);
            if output.status.success() { Ok(()) } else { Err(format!("{}: {said}", output.status)) }
        });
    }
    assert!(coco.terminate(SOON).success(), "{}", coco.log());
    assert!(coco.log().contains("stopped residual=0 "), "{}", coco.log());
}

#[test]
fn with_no_file_a_newcomer_sees_the_owner_and_the_stored_value() {
    let _ports = PORTS.lock();
    let mut coco = start();
    assert!(coco.log().contains("nc -q0 127.0.0.1 2003"), "{}", coco.log());
    let mut client = TcpStream::connect("127.0.0.1:2003").unwrap();
    client.write_all(b"web01.load 0.42 1795000000\n").unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let datagram = datagram::gauge("web02", "load", "x", 1_795_000_000, 0.75);
    socket.send_to(&datagram, "127.0.0.1:25826").unwrap();
    for (name, value) in [("web01.load", "0.42"), ("web02", "0.75")] {
        let api = "127.0.0.1:9090".parse().unwrap();
        let stored = wait_for("the stored value", SOON, || {
            let answer = http::get(api, &format!("/embedded?name={name}"))?;
            if answer.body.contains(value) { Ok(answer.body) } else { Err(answer.body) }
        });
        let owners = http::get(api, &format!("/lookup?name={name}")).unwrap().body;
        let owners: Value = serde_json::from_str(&owners).unwrap();
        for owner in owners.as_object().unwrap().values() {
            assert!(stored.contains(&owner.to_string()), "{name}: {owners} owns, {stored} has it");
        }
    }
    // As when its terminal is closed.
    coco.signal(Signal::SIGHUP);
    assert!(coco.wait(SOON).success(), "{}", coco.log());
    assert!(coco.log().contains("stopped residual=0 "), "{}", coco.log());
}

/// Coco without a file, when its API answers.
fn start() -> Process {
    let mut coco = Process::start("coco", Command::new(binary()).env("NO_COLOR", "1"));
    coco.wait_for_line(&["api listening", "127.0.0.1:9090"], SOON);
    coco
}

/// The blocks of the tour in order.
fn blocks(readme: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut lines = readme.lines();
    while lines.by_ref().any(|line| line.trim_end() == MARK) {
        let block = lines.by_ref().take_while(|line| !line.starts_with("```"));
        blocks.push(block.map(|line| format!("{line}\n")).collect());
    }
    blocks
}

#[test]
fn the_tour_is_taken_from_marked_blocks_only() {
    let readme = "```sh\nfalse\n```\n```sh tour\necho a \\\n  b\n```\n```sh tour\ntrue\n```\n";
    assert_eq!(blocks(readme), ["echo a \\\n  b\n", "true\n"]);
}
