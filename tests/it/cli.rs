use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};

use coco_tests::{
    coco::{self, Coco, targets},
    corpus,
    process::folder,
    sink::UdpSink,
};
use serde_json::Value;
use tempfile::TempDir;

const CONFIG: &str = r#"
[listen]
bind = "127.0.0.1:0"
[graphite]
bind = "127.0.0.1:0"
[tiers.short]
targets = ["10.0.0.1:25826", { address = "10.0.0.2:25826", id = "store-b", weight = 2 }]
[tiers.carbon]
protocol = "graphite"
replicas = 2
targets = ["10.0.1.1:2003", "10.0.1.2:2003", "10.0.1.3:2003"]
"#;

fn file(config: &str) -> (TempDir, PathBuf) {
    let folder = folder();
    let file = folder.path().join("coco.toml");
    fs::write(&file, config).unwrap();
    (folder, file)
}

/// Exit code, standard output and standard error.
fn run(arguments: &[&str], input: &[u8]) -> (Option<i32>, Vec<u8>, String) {
    let output = coco::run(arguments, input);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), output.stdout, error)
}

#[test]
fn check_accepts_a_good_file_and_names_the_faults_of_a_bad_one() {
    let (_folder, good) = file(CONFIG);
    let (code, _, error) = run(&["check", good.to_str().unwrap()], b"");
    assert_eq!(code, Some(0), "{error}");

    let bad = CONFIG.replace("replicas = 2", "replicas = 9\nhsah = \"xxh3\"");
    let (_folder, bad) = file(&bad);
    let (code, output, error) = run(&["check", bad.to_str().unwrap()], b"");
    let said = String::from_utf8_lossy(&output).into_owned() + &error;
    assert_eq!(code, Some(78), "{said}");
    for part in ["tiers.carbon.replicas", "hsah", "hash"] {
        assert!(said.contains(part), "no {part} in {said}");
    }

    let (code, _, error) = run(&["check", "/nonexistent/coco.toml"], b"");
    assert_eq!(code, Some(78), "{error}");
    assert!(error.contains("/nonexistent/coco.toml"), "{error}");
}

#[test]
fn a_bad_file_is_not_run_and_bad_usage_is_told_apart() {
    let (_folder, bad) = file("[listen]\nbind = 5\n");
    let (code, _, error) = run(&[bad.to_str().unwrap()], b"");
    assert_eq!(code, Some(78), "{error}");
    for arguments in [&["--bogus"][..], &["lookup"], &["check"]] {
        let (code, _, error) = run(arguments, b"");
        assert_eq!(code, Some(2), "{arguments:?}: {error}");
    }
    for arguments in [&["--version"][..], &["--help"]] {
        let (code, output, _) = run(arguments, b"");
        assert_eq!(code, Some(0), "{arguments:?}");
        assert!(String::from_utf8_lossy(&output).contains("coco"), "{arguments:?}");
    }
}

#[test]
fn without_a_file_that_of_coco_1x_is_run_if_it_is_there() {
    let folder = folder();
    fs::write(folder.path().join("coco.conf"), "[listen]\nbind = 5\n").unwrap();
    let output = Command::new(coco::binary())
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(78), "{error}");
    for part in ["the coco.conf of this folder is run", "coco.conf:2"] {
        assert!(error.contains(part), "no {part} in {error}");
    }
}

#[test]
fn an_answer_that_nobody_reads_is_no_error_and_one_that_cannot_be_written_is() {
    let (_folder, good) = file(CONFIG);
    let check = |stdout: Stdio| {
        let mut command = Command::new(coco::binary());
        let output = command.arg("check").arg(&good).stdout(stdout).stderr(Stdio::piped());
        let output = output.spawn().unwrap().wait_with_output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    assert_eq!(check(writer.into()), (Some(0), String::new()));
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let (code, error) = check(full.into());
    assert_eq!(code, Some(1), "{error}");
    assert!(error.starts_with("coco: cannot write the report: No space left"), "{error}");
}

#[test]
fn lookup_prints_a_line_for_each_name_and_tier() {
    let (_folder, config) = file(CONFIG);
    let config = config.to_str().unwrap();
    let (code, output, error) = run(&["lookup", "--config", config, "web01", "web02"], b"");
    assert_eq!(code, Some(0), "{error}");
    let text = String::from_utf8(output).unwrap();
    let rows: Vec<Vec<_>> = text.lines().map(|line| line.split('\t').collect()).collect();
    let heads: Vec<_> = rows.iter().map(|row| (row[0], row[1])).collect();
    let due = [("web01", "short"), ("web01", "carbon"), ("web02", "short"), ("web02", "carbon")];
    assert_eq!(heads, due, "{text}");
    for row in &rows {
        let owners: Vec<_> = row[2].split(',').collect();
        assert_eq!(owners.len(), if row[1] == "carbon" { 2 } else { 1 }, "{text}");
        assert!(owners.iter().all(|owner| owner.starts_with("10.0.")), "{text}");
    }

    let arguments = ["lookup", "--config", config, "--tier", "carbon", "web01"];
    let (code, output, _) = run(&arguments, b"");
    assert_eq!(code, Some(0));
    assert_eq!(
        String::from_utf8(output).unwrap().lines().collect::<Vec<_>>(),
        [rows[1].join("\t")]
    );

    let (code, _, error) = run(&["lookup", "--config", config, "--tier", "nope", "web01"], b"");
    assert_ne!(code, Some(0));
    assert!(error.contains("nope"), "{error}");

    let (code, output, error) = run(&["lookup", "--config", config, "--json", "web01"], b"");
    assert_eq!(code, Some(0), "{error}");
    let json: Value = serde_json::from_slice(&output).unwrap();
    assert!(json.to_string().contains(rows[0][2]), "{json}");
}

#[test]
fn lookup_reads_names_of_any_bytes_from_standard_input() {
    let (_folder, config) = file(CONFIG);
    let arguments = ["lookup", "--raw", "--tier", "short", "--config", config.to_str().unwrap()];
    let names: [&[u8]; 5] = [b"web01", b"\xff\xfe", b"with blank", b"", b"last"];
    let (code, output, error) = run(&arguments, &names.join(&b'\n'));
    assert_eq!(code, Some(0), "{error}");
    let lines: Vec<_> = output.split(|byte| *byte == b'\n').collect();
    for (line, name) in lines.iter().zip(names) {
        let start = [name, b"\tshort\t10.0.0."].concat();
        assert!(line.starts_with(&start), "{}", line.escape_ascii());
    }
    assert_eq!(lines.len(), names.len() + 1, "one line each, the last one ended");
}

#[test]
fn the_running_process_and_the_command_line_give_the_same_owners() {
    let addresses = |third: u8| (1..=7).map(|host| format!("127.0.{third}.{host}:2003")).collect();
    let (short, carbon): (Vec<_>, Vec<_>) = (addresses(1), addresses(2));
    let coco = Coco::start(&format!(
        "[listen]\nbind = \"127.0.0.1:0\"\n[graphite]\nbind = \"127.0.0.1:0\"\n\
         [tiers.short]\n{}[tiers.carbon]\nprotocol = \"graphite\"\n{}",
        targets(&short),
        targets(&carbon)
    ));
    let mut random = corpus::random();
    let names: Vec<_> = (0..1_000).map(|number| corpus::metric_name(&mut random, number)).collect();
    let config = coco.config_file();
    let arguments = ["lookup", "--config", config.to_str().unwrap()];
    let (code, output, error) = run(&arguments, (names.join("\n") + "\n").as_bytes());
    assert_eq!(code, Some(0), "{error}");
    let mut due = String::new();
    for name in &names {
        for tier in ["short", "carbon"] {
            due += &format!("{name}\t{tier}\t{}\n", coco.owner(tier, name.as_bytes()));
        }
    }
    assert_eq!(String::from_utf8(output).unwrap(), due);
    coco.stop();
}

#[test]
fn the_version_is_the_same_wherever_it_is_shown() {
    let (code, output, error) = run(&["--version"], b"");
    assert_eq!(code, Some(0), "{error}");
    let output = String::from_utf8(output).unwrap();
    let version = output.trim().strip_prefix("coco ").unwrap();
    let sink = UdpSink::start();
    let coco = Coco::start(&format!(
        "[listen]\nbind = \"127.0.0.1:0\"\n[tiers.short]\n{}\n",
        targets(&[sink.address().to_string()])
    ));
    let process = &coco.get_json("/debug/vars")["process"];
    assert_eq!(process["version"], version);
    assert_eq!(process["pid"], coco.id());
    assert_eq!((&process["draining"], &process["upgrades"]), (&false.into(), &0.into()));
    assert!(process["uptime"].as_f64().unwrap() < 60.0, "{process}");
    assert!(process["start_time"].as_u64().unwrap() > 1_700_000_000, "{process}");
    assert!(coco.get("/").body.starts_with(&format!("Coco {version}\n")));
    assert!(coco.log().contains(&format!("coco runs version=\"{version}\"")), "{}", coco.log());
    let metrics = coco.get("/metrics").body;
    assert!(
        metrics.contains(&format!("coco_build_info{{version=\"{version}\"}} 1\n")),
        "{metrics}"
    );
    coco.stop();
}
