use std::{
    fs,
    io::Write,
    net::{TcpStream, UdpSocket},
    process::{Command, Stdio},
    sync::Mutex,
    time::Duration,
};

use coco_tests::{
    coco::{binary, root},
    datagram, http,
    process::{Process, folder},
    wait::{SOON, wait_for},
};
use serde_json::Value;

/// The embedded default has fixed ports: one test at a time.
static PORTS: Mutex<()> = Mutex::new(());

/// A code block of the README that begins with this line is part of the tour.
const MARK: &str = "```sh tour";

#[test]
fn every_command_of_the_tour_in_the_readme_succeeds() {
    let readme = fs::read_to_string(root().join("README.md")).expect("README.md is there");
    let commands = commands(&readme);
    assert!(!commands.is_empty(), "README.md has no block that begins with {MARK}");
    let _ports = PORTS.lock();
    // The first terminal; the commands are typed in a second one.
    let mut coco = start();
    let folder = folder();
    // Makes curl fail on an HTTP error.
    fs::write(folder.path().join(".curlrc"), "fail\nshow-error\n").unwrap();
    for command in commands {
        // As often as a person would who sees that the sample is not there yet.
        wait_for(&command, Duration::from_secs(30), || {
            let mut shell = Command::new("bash");
            shell.args(["-c", &command]).current_dir(root()).stdin(Stdio::null());
            let output = shell.env("CURL_HOME", folder.path()).output().expect("bash starts");
            let ended_by_timeout =
                command.starts_with("timeout ") && output.status.code() == Some(124);
            if output.status.success() || ended_by_timeout {
                return Ok(());
            }
            let error = String::from_utf8_lossy(&output.stderr);
            Err(format!("{}: {error}", output.status))
        });
    }
    assert!(coco.terminate(SOON).success(), "{}", coco.log());
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
    assert!(coco.terminate(SOON).success(), "{}", coco.log());
}

/// Coco without a file, when its API answers.
fn start() -> Process {
    let mut coco = Process::start("coco", Command::new(binary()).env("NO_COLOR", "1"));
    coco.wait_for_line(&["api listening", "127.0.0.1:9090"], SOON);
    coco
}

/// The commands of the tour in order, less those of the first terminal.
fn commands(readme: &str) -> Vec<String> {
    let mut commands = Vec::new();
    let mut lines = readme.lines();
    while lines.by_ref().any(|line| line.trim_end() == MARK) {
        let block = lines.by_ref().take_while(|line| !line.starts_with("```"));
        let block = block.collect::<Vec<_>>().join("\n").replace("\\\n", " ");
        let typed = block.lines().map(str::trim).filter(|line| {
            !line.is_empty() && !line.starts_with('#') && !line.starts_with("cargo run")
        });
        commands.extend(typed.map(str::to_owned));
    }
    commands
}

#[test]
fn the_tour_is_taken_from_marked_blocks_only() {
    let readme = "```sh\nfalse\n```\n```sh tour\n# say\ncargo run --release\necho a \\\n  b\n```\n";
    assert_eq!(commands(readme), ["echo a    b"]);
}
