//! The stages of `deploy/pipeline` with a router of a few files: what they do when something beside it goes wrong.

use std::{fs, os::unix::fs::symlink, process::Command};

use coco_tests::{
    alone::{Alone, CURL},
    process::program,
};

/// Another process of the same version answers from now on.
const ANEW: &str =
    "sed -i 's/\"pid\": 10/\"pid\": 20/; s/\"upgrades\": ./\"upgrades\": 0/' HERE/vars\n";

/// What the stages call on their own machine.
const TOOLS: [&str; 10] =
    ["curl", "jq", "xargs", "mktemp", "date", "cat", "rm", "cmp", "sleep", "sha256sum"];

#[test]
fn a_setting_that_is_no_number_or_no_option_is_refused_before_anything_is_touched() {
    let alone = Alone::prepare();
    for words in [
        ["canary", "2.0"],
        ["promote", "2.0"],
        ["rollback", "2.0"],
        ["configure", "new.toml"],
        ["check", "new.toml"],
    ] {
        let seconds = [("COCO_VERIFY_SECONDS", "08")];
        alone.stage_with(&words, &seconds, 2, "COCO_VERIFY_SECONDS is 08:");
        let options = [("COCO_VERIFY_ARGS", "--bogus")];
        alone.stage_with(&words, &options, 2, "does not take COCO_VERIFY_ARGS");
    }
    for seconds in ["60s", "1m", "abc", "0", "-1", "1e3", "99999"] {
        let why = format!("COCO_VERIFY_SECONDS is {seconds}:");
        alone.stage_with(&["canary", "2.0"], &[("COCO_VERIFY_SECONDS", seconds)], 2, &why);
    }
    assert_eq!(alone.read("asked"), "");
    alone.runs("1.0");
    alone.has_config("old");
    // One that the router tells is no number either.
    alone.program("bin/curl", &CURL.replace("0.2", "\"x y\""));
    alone.stage(&["check", "new.toml"], 1, "router-1 says x y for its interval");
}

#[test]
fn a_process_that_ended_and_was_started_anew_is_not_well() {
    for when in ["on_verify", "on_dpkg"] {
        for words in [["canary", "2.0"], ["promote", "2.0"]] {
            let alone = Alone::prepare();
            // Only the new version does it: while it is asked, or before anybody has seen it.
            let text = match when {
                "on_verify" => format!("grep -q '\"2.0\"' HERE/vars && {ANEW}"),
                _ => "[ $version = 1.0 ] || count=0\n".to_owned(),
            };
            alone.write(when, &format!("{text}true\n"));
            alone.stage(&words, 1, "was started anew");
            alone.runs("1.0");
        }
    }
    // It may be gone when it is to hand back: the service has started the one before, which is the way back too.
    let alone = Alone::prepare();
    alone.write("on_verify", "grep -q '\"1.0\"' HERE/vars || exit 2\n");
    let started = "[ $version = 2.0 ] || { sed -i 's/\"2.0\"/\"1.0\"/' HERE/vars; exit 1; }\n";
    alone.write("on_dpkg", started);
    alone.stage(&["canary", "2.0"], 1, "runs 1.0 again");
    alone.runs("1.0");
    // Nor between two calls.
    let alone = Alone::prepare();
    alone.stage(&["canary", "2.0"], 0, "is well");
    let anew = ANEW.replace("HERE", &alone.text(""));
    assert!(Command::new("bash").args(["-c", &anew]).status().unwrap().success());
    alone.stage(&["canary", "2.0"], 1, "took over and ended");
    alone.runs("1.0");
    // A configuration may do the same.
    let alone = Alone::prepare();
    alone.write("on_verify", ANEW);
    alone.stage(&["configure", "new.toml"], 1, "was started anew");
    alone.has_config("old");
}

#[test]
fn a_stage_that_is_ended_before_it_has_judged_says_so_and_can_be_gone_back_from() {
    let alone = Alone::prepare();
    let end = "kill -TERM $PPID; exit 3\n";
    alone.write("on_verify", end);
    for stage in ["canary", "promote"] {
        let advice = ["router-1 runs 2.0, not judged", "rollback 1.0 router-1"];
        alone.ends(&[stage, "2.0"], &advice);
        // It goes on from there.
        alone.ends(&["rollback"], &["router-1 runs 1.0, not judged", "rollback 1.0 router-1"]);
        alone.write("on_verify", "");
        alone.stage(&["rollback", "1.0", "router-1"], 0, "stays so");
        alone.runs("1.0");
        alone.write("on_verify", end);
    }
    // Before the hand-over: what would be started is put right.
    alone.write("on_dpkg", "kill -TERM $PPID $(cut -d' ' -f4 /proc/$PPID/stat); exit 1\n");
    alone.ends(&["canary", "2.0"], &["router-1 runs 1.0, not judged"]);
    alone.write("on_dpkg", "");
    alone.write("on_verify", "");
    alone.stage(&["rollback"], 0, "stays so");
    alone.runs("1.0");
    alone.write("on_verify", end);
    let advice =
        ["router-1 runs 1.0, not judged", "configure new.toml router-1", "coco.toml.before"];
    alone.ends(&["configure", "new.toml"], &advice);
}

#[test]
fn a_configuration_goes_back_to_what_was_in_force_when_the_call_began() {
    let alone = Alone::prepare();
    let (end, no) = ("kill -TERM $PPID; exit 3\n", "exit 2\n");
    // Ended after the reload: the new one is in force, and not taken back by the next call.
    alone.write("on_verify", end);
    alone.ends(&["configure", "new.toml"], &["not judged"]);
    alone.write("on_verify", no);
    alone.stage(&["configure", "new.toml"], 1, "has had it before, and is left as it is");
    alone.has_config("new");
    // Nor does another file bring back what was before both.
    alone.write("next.toml", "next");
    alone.stage(&["configure", "next.toml"], 1, "has its old configuration again");
    alone.has_config("new");
    // Ended before the reload, once and again: what was in force is known, and comes back.
    alone.write("on_reload", "kill -TERM $(cut -d' ' -f4 /proc/$PPID/stat); exit 1\n");
    alone.ends(&["configure", "next.toml"], &["not judged"]);
    alone.write("newest.toml", "newest");
    alone.ends(&["configure", "newest.toml"], &["not judged"]);
    assert_eq!([alone.read("etc/coco.toml"), alone.read("in_force")], ["newest", "new"]);
    alone.write("on_reload", "");
    alone.stage(&["configure", "newest.toml"], 1, "has its old configuration again");
    alone.has_config("new");
    alone.write("on_verify", "");
    alone.stage(&["configure", "newest.toml"], 0, "is well");
    alone.has_config("newest");
    assert!(!alone.path("etc/coco.toml.before").exists());
}

#[test]
fn a_router_that_does_not_tell_what_it_runs_is_told_from_one_that_runs_something_else() {
    let alone = Alone::prepare();
    for (status, ends, why) in [
        ("0", 0, "new.toml is good"),
        ("1", 1, "does not tell what it runs, at http://router-1:9090"),
        ("3", 3, "router-1 runs something else than its"),
        ("78", 3, "router-1 has a faulty"),
    ] {
        alone.write("against", status);
        alone.stage(&["check", "new.toml"], ends, why);
    }
}

#[test]
fn the_first_word_of_rollback_is_a_router_if_it_is_one_and_else_a_version_that_one_has() {
    let alone = Alone::prepare();
    let named = [("COCO_ROUTERS", "10.0.0.1=http://127.0.0.1:1 10.0.0.2=http://127.0.0.1:2")];
    alone.stage_with(&["canary", "2.0"], &named, 0, "10.0.0.1 runs 2.0, and is well");
    alone.stage_with(&["rollback", "10.0.0.3"], &named, 2, "10.0.0.3 is not in COCO_ROUTERS");
    alone.runs("2.0");
    alone.stage_with(&["rollback", "10.0.0.1"], &named, 0, "10.0.0.1: 2.0 hands over to 1.0");
    alone.runs("1.0");
    alone.stage_with(
        &["rollback", "2.0", "10.0.0.2"],
        &named,
        0,
        "10.0.0.2: 1.0 hands over to 2.0",
    );
    alone.runs("2.0");
    // Version and router may be told apart by their order only.
    alone.stage_with(&["rollback", "10.0.0.2", "2.0"], &named, 2, "2.0 is not in COCO_ROUTERS");
}

#[test]
fn a_program_that_is_missing_is_named_before_anything_is_touched() {
    let alone = Alone::prepare();
    let few = |lacks: &str| {
        let folder = alone.path("few");
        fs::remove_dir_all(&folder).ok();
        fs::create_dir(&folder).unwrap();
        let more = ["dirname", "bash", "mkdir", "rmdir", "cp", "mv", "ln", "readlink", "basename"];
        let more = more.into_iter().chain(["find", "ls", "tail", "chmod", "stat", "touch"]);
        for name in TOOLS.into_iter().chain(more).filter(|name| *name != lacks) {
            symlink(program(name, "coreutils"), folder.join(name)).unwrap();
        }
        folder.display().to_string()
    };
    for lacks in TOOLS {
        let path = [("PATH", few(lacks))];
        let path = [(path[0].0, path[0].1.as_str())];
        alone.stage_with(&["canary", "2.0"], &path, 2, &format!("no program {lacks} here"));
    }
    let run = "#!/bin/bash\nPATH=HERE/few exec bash -c \"$2\"\n";
    alone.program("run", run);
    let run = alone.text("run");
    let far = [("COCO_RUN", run.as_str())];
    for (words, lacks) in [
        (vec!["canary", "2.0"], "find"),
        (vec!["promote", "2.0"], "readlink"),
        (vec!["configure", "new.toml"], "curl"),
        (vec!["install", "new.toml", "3.0"], "sha256sum"),
        (vec!["install", "opt/releases/2.0/coco.deb", "3.0"], "dpkg"),
        (vec!["check", "new.toml"], "cat"),
    ] {
        few(lacks);
        alone.stage_with(&words, &far, 2, &format!("router-1 has no program {lacks}"));
    }
    alone.runs("1.0");
    alone.has_config("old");
}

#[test]
fn canaries_are_sent_on_the_first_turn_and_on_the_one_that_says_yes() {
    let alone = Alone::prepare();
    alone.write("on_verify", "[ $(wc -l < HERE/asked) -ge 3 ] || exit 3\n");
    alone.stage_with(&["canary", "2.0"], &[("COCO_VERIFY_SECONDS", "60")], 0, "is well");
    let asked = alone.read("asked");
    let sends: Vec<_> = asked.lines().map(|line| !line.contains("--no-canary")).collect();
    assert_eq!(sends, [true, false, false, true], "{asked}");
    // Who sends none anyhow gives the option once.
    alone.write("asked", "");
    alone.stage_with(&["rollback"], &[("COCO_VERIFY_ARGS", "--no-canary")], 0, "");
    let asked = alone.read("asked");
    assert!(asked.lines().all(|line| line.matches("--no-canary").count() == 1), "{asked}");
    // A canary that does not come, and nothing else: that is a no all the same.
    alone
        .write("on_verify", "grep -q '\"1.0\"' HERE/vars || [[ $* == *--no-canary* ]] || exit 2\n");
    alone.stage_with(&["canary", "2.0"], &[("COCO_VERIFY_SECONDS", "60")], 1, "runs 1.0 again");
}
