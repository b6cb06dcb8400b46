use std::{
    fs,
    process::{Command, Stdio},
    time::Duration,
};

use coco_tests::{
    coco::{binary, root},
    process::{Process, folder},
    wait::{SOON, wait_for},
};

/// A code block of the README that begins with this line is part of the tour.
const MARK: &str = "```sh tour";

#[test]
fn every_command_of_the_tour_in_the_readme_succeeds() {
    let readme = fs::read_to_string(root().join("README.md")).expect("README.md is there");
    let commands = commands(&readme);
    assert!(!commands.is_empty(), "README.md has no block that begins with {MARK}");
    // The first terminal; the commands are typed in a second one.
    let mut coco = Process::start("coco", Command::new(binary()).env("NO_COLOR", "1"));
    coco.wait_for_line(&["api listening", "127.0.0.1:9090"], SOON);
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
