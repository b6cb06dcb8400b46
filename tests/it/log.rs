use std::{fs, io::Write, net::TcpStream, path::Path, time::Duration};

use coco_tests::{
    coco::{Coco, root, targets},
    port::free_port,
    wait::{SOON, wait_for, wait_until},
};
use serde_json::Value;

/// A router whose one target nobody listens for.
fn refused(prepare: impl FnOnce(&mut std::process::Command)) -> (Coco, String) {
    let target = format!("127.0.0.1:{}", free_port());
    let config = format!(
        "[graphite]\nbind = \"127.0.0.1:0\"\n[api]\nbind = \"127.0.0.1:{}\"\n\
         [tiers.carbon]\nprotocol = \"graphite\"\n{}",
        free_port(),
        targets(std::slice::from_ref(&target))
    );
    (Coco::start_as(&config, coco_tests::coco::binary(), prepare), target)
}

fn kind(log: &Value, level: &str, words: &str) -> Option<Value> {
    let mut kinds = log["kinds"].as_array().unwrap().iter();
    let is_it =
        |kind: &&Value| kind["level"] == level && kind["kind"].as_str().unwrap().contains(words);
    kinds.find(is_it).cloned()
}

#[test]
fn a_target_that_refuses_is_a_kind_of_line() {
    let (coco, target) = refused(|_| {});
    let found = wait_for("the line", SOON, || {
        let log = coco.get_json("/debug/log?level=warn");
        kind(&log, "warn", "cannot connect").map(|kind| (log.clone(), kind)).ok_or(log.to_string())
    });
    let (log, refused) = found;
    assert_eq!(refused["count"], 1, "{log}");
    let line = log["lines"].as_array().unwrap().iter().find(|line| line["kind"] == refused["kind"]);
    let line = line.unwrap_or_else(|| panic!("no line of it: {log}"));
    let text = line["text"].as_str().unwrap();
    assert!(text.contains(&format!("tier=carbon target={target}")), "{text}");
    assert_eq!((&line["time"], &line["level"]), (&refused["first"], &"warn".into()));
    let process = &coco.get_json("/debug/vars")["process"];
    for key in ["pid", "start_time"] {
        assert_eq!(log["process"][key], process[key]);
    }
    // Since now there was nothing of it.
    let later =
        coco.get_json(&format!("/debug/log?since={}", log["now"].as_f64().unwrap() + 0.001));
    assert_eq!(kind(&later, "warn", "cannot connect"), None, "{later}");
    assert_eq!(later["overwritten"], 0);
    assert!(later["oldest"].as_f64().unwrap() <= line["time"].as_f64().unwrap(), "{later}");
    // What is only worth knowing is there for those who ask.
    assert_eq!(kind(&log, "info", ""), None, "{log}");
    assert!(kind(&coco.get_json("/debug/log?level=info"), "info", "coco runs").is_some());
    let errors = coco.get_json("/debug/log?level=error");
    assert_eq!((&errors["kept"], &errors["oldest"]), (&0.into(), &Value::Null), "{errors}");

    let count = coco.get_json("/debug/vars")["coco"]["log"]["warn"].as_u64().unwrap();
    assert!(count >= 1);
    let metrics = coco.get("/metrics").body;
    assert!(metrics.contains(&format!("coco_log_lines_total{{level=\"warn\"}} {count}\n")));
    wait_until("its history", Duration::from_secs(20), || {
        let history = coco.get_json("/debug/history?name=coco.log.*");
        let errors = &history["series"]["coco.log.error"];
        errors.as_array().is_some_and(|errors| errors.iter().any(|count| *count == 0))
    });
    let bad = coco.get("/debug/log?level=loud");
    let why = r#"{"error":"`level`: \"loud\" is none of info, warn, error"}"#;
    assert_eq!((bad.status, bad.body.trim()), (400, why));
    coco.stop();
}

#[test]
fn lines_are_kept_also_when_none_are_written() {
    // The harness learns the API's address from the log, so the warnings of one crate are left off.
    let (coco, _) = refused(|command| {
        command.env("COCO_LOG", "coco_router=off,coco_server=info");
    });
    let mut client = TcpStream::connect(coco.listener("line-tcp")).unwrap();
    client.write_all(b"this is no line\n").unwrap();
    drop(client);
    wait_until("both lines", SOON, || {
        let log = coco.get_json("/debug/log");
        ["cannot connect", "malformed input"].iter().all(|it| kind(&log, "warn", it).is_some())
    });
    assert!(!coco.log().contains("malformed input"), "{}", coco.log());
    coco.stop();
}

#[test]
fn a_level_that_is_not_understood_is_told() {
    let (coco, _) = refused(|command| {
        command.env("COCO_LOG", "coco_router=loud");
    });
    let log = coco.get_json("/debug/log");
    assert!(kind(&log, "warn", "COCO_LOG is not understood; info is written").is_some(), "{log}");
    assert!(coco.log().contains(" INFO coco runs"), "{}", coco.log());
    coco.stop();
}

#[test]
fn no_line_has_values_in_its_message() {
    fn visit(folder: &Path, check: &mut impl FnMut(&Path)) {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            match entry.file_type().unwrap().is_dir() {
                true => visit(&entry.path(), check),
                false => check(&entry.path()),
            }
        }
    }
    let mut count = 0;
    for source in ["crates/router/src", "crates/server/src"] {
        visit(&root().join(source), &mut |file| {
            let text = fs::read_to_string(file).unwrap();
            let text = text.split("#[cfg(test)]").next().unwrap();
            for level in ["warn", "error", "info"] {
                let macro_call = format!("tracing::{level}!(");
                for call in text.split(&macro_call).skip(1) {
                    let end = [");", "),\n"].iter().filter_map(|end| call.find(end)).min();
                    let call = &call[..end.unwrap_or(call.len())];
                    let message = call.rsplit_once('"').map_or("", |(words, _)| words);
                    assert!(!message.contains('{'), "{}: {call}", file.display());
                    count += 1;
                }
            }
        });
    }
    assert!(count > 50, "{count} lines found only");
}
