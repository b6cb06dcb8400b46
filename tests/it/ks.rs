use std::{
    fs,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use coco_tests::{
    coco::{Coco, run_program, targets},
    fake::{Endpoint, Manner, ask_each, useless},
    feed::Feed,
    port::free_port,
    process::{Signal, folder},
    sink::{LineSink, UdpSink},
    wait::wait_for,
};
use serde_json::{Value, json};

/// Longer than a window of ten seconds takes to fill and to change, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// Fifty rates.
const WINDOW: [&str; 2] = ["--window", "10s"];

/// A Coco that records its numbers five times a second.
fn start(tier: &str, addresses: &[String]) -> Coco {
    Coco::start(&format!(
        "[graphite]\nbind = \"127.0.0.1:0\"\n[measure]\ninterval = \"200ms\"\n\
         [limits]\ndrain_timeout = \"1s\"\n\
         [tiers.carbon]\nprotocol = \"graphite\"\n{tier}\n{}",
        targets(addresses)
    ))
}

/// Exit status and output of a check.
#[derive(Debug, Clone)]
struct Said {
    status: i32,
    out: String,
    error: String,
}

fn check(program: &str, arguments: &[&str]) -> Said {
    let started_at = Instant::now();
    let output = run_program(program, arguments, b"");
    assert!(started_at.elapsed() < Duration::from_secs(10), "{:?}", started_at.elapsed());
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let status = output.status.code().expect("an exit status, and no signal");
    Said { status, out: text(output.stdout), error: text(output.stderr) }
}

/// Checks a Coco until it says so.
#[track_caller]
fn wait_for_status(status: i32, program: &str, coco: &Coco, arguments: &[&str]) -> Said {
    let host = coco.api().to_string();
    let arguments = [arguments, &["--host", &host], &WINDOW].concat();
    wait_for(&format!("{program} to end with {status}"), PATIENCE, || {
        let said = check(program, &arguments);
        if said.status == status { Ok(said) } else { Err(format!("{said:?}")) }
    })
}

#[test]
fn a_rate_that_halves_is_found_and_a_steady_one_is_good() {
    let sinks = [LineSink::start(), LineSink::start()];
    let addresses = sinks.each_ref().map(|sink| sink.address().to_string());
    let coco = start("", &addresses);
    let feed = Feed::start(coco.listener("line-tcp"), 2_000);
    let host = coco.api().to_string();

    let early = check("coco", &["ks", "send", "--host", &host]);
    assert_eq!(early.status, 3, "{early:?}");
    assert!(early.out.starts_with("UNKNOWN: send 127.0.0.1:"), "{early:?}");
    assert!(early.out.contains(": restarted ") && early.out.lines().count() == 1, "{early:?}");
    for (other, status) in [("ok", 0), ("warning", 1), ("critical", 2)] {
        let said = check("coco", &["ks", "send", "--host", &host, "--unknown-as", other]);
        assert_eq!(said.status, status, "{said:?}");
        assert!(said.out.starts_with("UNKNOWN: "), "{said:?}");
    }

    let good = wait_for_status(0, "coco", &coco, &["ks", "send"]);
    assert!(good.out.starts_with("OK: all 2 of send; nearest to a change: send 127"), "{good:?}");
    assert!(good.out.contains(" | D=0.") && good.out.contains(" series=2 critical=0"), "{good:?}");
    wait_for_status(0, "coco", &coco, &["ks", "send", "--target", &addresses[0]]);
    wait_for_status(0, "anomalous_coco_errors", &coco, &[]);

    feed.set(1_000);
    let bad = wait_for_status(2, "coco", &coco, &["ks", "send"]);
    assert!(bad.out.starts_with("CRITICAL: send 127.0.0.1:"), "{bad:?}");
    assert!(bad.out.contains(" fell "), "{bad:?}");
    // What remains in the window is enough for all other ways to ask.
    let old = ["--target", &addresses[0], "--maximum-deviation", "10.0", "--debug"];
    let old = wait_for_status(2, "anomalous_coco_send", &coco, &old);
    assert!(old.error.contains("--maximum-deviation is not used"), "{old:?}");
    assert!(old.out.lines().count() > 4 && old.out.contains("autocorrelation"), "{old:?}");
    let told = wait_for_status(2, "coco", &coco, &["ks", "send", "--json"]);
    let told: Value = serde_json::from_str(&told.out).unwrap();
    assert_eq!((&told["grade"], &told["exit_status"]), (&json!("CRITICAL"), &json!(2)));
    assert!(told["series"][0]["comparison"]["change"].as_f64().unwrap() < -0.1, "{told}");
    let drawn = wait_for_status(2, "coco", &coco, &["ks", "send", "--plot"]);
    assert!(drawn.out.lines().count() > 30 && drawn.out.contains("before"), "{drawn:?}");
    drop(feed);
    coco.settle();
    coco.stop();
}

#[test]
fn a_target_that_refuses_is_critical_for_both_checks() {
    let (sink, dying) = (UdpSink::start(), UdpSink::start());
    let addresses = [sink.address().to_string(), dying.address().to_string()];
    let coco = start("proto = \"udp\"", &addresses);
    let feed = Feed::start(coco.listener("line-tcp"), 500);
    wait_for_status(0, "anomalous_coco_send", &coco, &[]);
    wait_for_status(0, "anomalous_coco_errors", &coco, &[]);
    drop(dying);
    let silent = format!("send {} is silent: nothing is sent of what is due", addresses[1]);
    for program in ["anomalous_coco_errors", "anomalous_coco_send"] {
        let said = wait_for(&format!("{program} to see it"), PATIENCE, || {
            let said = wait_for_status(2, program, &coco, &[]);
            if said.out.contains(&silent) { Ok(said) } else { Err(format!("{said:?}")) }
        });
        assert!(said.out.starts_with("CRITICAL: "), "{said:?}");
    }
    drop(feed);
    coco.stop();
}

#[test]
fn a_dead_target_is_found_though_its_samples_come_seldom() {
    let dying = UdpSink::start();
    let never_there = format!("127.0.0.1:{}", free_port());
    for (tier, address, dying) in
        [("proto = \"udp\"", dying.address().to_string(), Some(dying)), ("", never_there, None)]
    {
        let coco = start(tier, std::slice::from_ref(&address));
        // One in five intervals has something due.
        let feed = Feed::start(coco.listener("line-tcp"), 1);
        if let Some(dying) = dying {
            wait_for_status(0, "anomalous_coco_send", &coco, &[]);
            wait_for_status(0, "anomalous_coco_errors", &coco, &[]);
            drop(dying);
        }
        let silent = format!("send {address} is silent: nothing is sent of what is due");
        for program in ["anomalous_coco_errors", "anomalous_coco_send"] {
            wait_for(&format!("{program} to see that {address} is dead"), PATIENCE, || {
                let said = wait_for_status(2, program, &coco, &[]);
                if said.out.contains(&silent) { Ok(()) } else { Err(format!("{said:?}")) }
            });
        }
        drop(feed);
        coco.stop();
    }
}

#[test]
fn a_target_that_is_not_there_is_told_from_those_that_are() {
    let sinks = [LineSink::start(), LineSink::start()];
    let addresses = sinks.each_ref().map(|sink| sink.address().to_string());
    let coco = start("", &addresses);
    let host = coco.api().to_string();
    wait_for("a first snapshot", PATIENCE, || {
        let said = check("anomalous_coco_send", &["--host", &host, "--target", "10.1.1.111"]);
        assert_eq!(said.status, 3, "{said:?}");
        let is_told = |address: &String| said.out.contains(address.as_str());
        let is_whole =
            said.out.starts_with("UNKNOWN: no numbers of send for 10.1.1.111; the targets are ")
                && addresses.iter().all(is_told);
        if is_whole { Ok(()) } else { Err(format!("{said:?}")) }
    });
    // Without its port a target is any on that host.
    let said = check("anomalous_coco_send", &["--host", &host, "--target", "127.0.0.1"]);
    assert!(said.out.starts_with("UNKNOWN: send 127.0.0.1:"), "{said:?}");
    coco.stop();
}

#[test]
fn a_process_that_hangs_is_unknown_in_time() {
    let sink = LineSink::start();
    let coco = start("", &[sink.address().to_string()]);
    coco.signal(Signal::SIGSTOP);
    let said = check("anomalous_coco_errors", &["--host", &coco.api().to_string()]);
    coco.signal(Signal::SIGCONT);
    assert_eq!(said.status, 3, "{said:?}");
    assert!(
        said.out.contains("/debug/history") && said.out.contains("it said nothing for "),
        "{said:?}"
    );
    coco.stop();
}

#[test]
fn the_history_has_what_was_asked_for() {
    let sink = LineSink::start();
    let target = sink.address().to_string();
    let coco = start("", std::slice::from_ref(&target));
    let all = wait_for("some snapshots", PATIENCE, || {
        let all = coco.get_json("/debug/history?name=coco.*&window=1h");
        match all["times"].as_array().unwrap().len() {
            0..4 => Err(all.to_string()),
            _ => Ok(all),
        }
    });
    let times: Vec<_> = all["times"].as_array().unwrap().iter().flat_map(Value::as_f64).collect();
    assert!(times.is_sorted(), "{times:?}");
    assert_eq!(all["interval"], 0.2);
    assert_eq!(all["resets"].as_array().unwrap().len(), 1);
    assert_eq!(all["resets"][0].as_f64(), all["start_time"].as_f64());
    assert_eq!(all["incarnation"], all["start_time"]);
    assert_eq!(all["left_out"], 0);
    for name in ["coco.filter.accepted", "coco.ledger.residual", "coco.errors.send.write"] {
        assert_eq!(all["series"][name].as_array().unwrap().len(), times.len(), "{name}");
    }
    // Each whole number of /debug/vars but those of distinct keys has a series.
    let vars = coco.get_json("/debug/vars");
    let mut names = Vec::new();
    numbers("coco", &vars["coco"], &mut names);
    names.retain(|name| !name.starts_with("coco.hash."));
    assert!(names.len() > 30, "{names:?}");
    for name in names {
        assert!(all["series"][&name].is_array(), "no {name}");
    }
    let some = coco.get_json("/debug/history?name=coco.send.*");
    let mut names: Vec<_> = some["series"].as_object().unwrap().keys().collect();
    names.sort();
    assert_eq!(names, [&format!("coco.send.{target}"), "coco.send.total"]);
    let once = coco.get_json("/debug/history?name=coco.send.*&still=once");
    assert_eq!((&once["series"], &once["still"]["coco.send.total"]), (&json!({}), &json!(0)));
    let none = coco.get_json("/debug/history?name=nothing");
    assert_eq!(none["series"], json!({}));
    let host = coco.api().to_string();
    let levels = check("coco", &["ks", "send", "--source", "vars", "--host", &host]);
    assert_eq!(levels.status, 3, "{levels:?}");
    assert!(levels.out.starts_with("UNKNOWN: only levels were looked at"), "{levels:?}");
    for bad in ["", "?window=5m", "?name=a&window=2h", "?name=a&window=x", "?name=a&to=now"] {
        let answer = coco.get(&format!("/debug/history{bad}"));
        assert_eq!(answer.status, 400, "{bad}: {}", answer.body);
        let body: Value = serde_json::from_str(&answer.body).unwrap();
        assert!(body["error"].is_string(), "{bad}: {body}");
    }
    coco.stop();
}

#[test]
fn an_upgrade_is_judged_by_what_was_before_it() {
    let sink = LineSink::start();
    let mut coco = start("", &[sink.address().to_string()]);
    let feed = Feed::start(coco.listener("line-tcp"), 2_000);
    let host = coco.api().to_string();
    let line = [&["--host", &host][..], &WINDOW].concat();
    let judged = |what: &str, wanted: i32| {
        wait_for(what, PATIENCE, || match check("anomalous_coco_send", &line) {
            said if said.status == wanted => Ok(said),
            said => Err(format!("{said:?}")),
        })
    };
    judged("enough history", 0);
    let history = |coco: &Coco| coco.get_json("/debug/history?name=coco.send.*&window=1h");
    let before = history(&coco);
    coco.upgrade();
    let after = history(&coco);
    let times = |history: &Value| history["times"].as_array().unwrap().clone();
    assert!(times(&after).starts_with(&times(&before)), "{before}\n{after}");
    assert_eq!(after["resets"].as_array().unwrap().len(), 2, "{after}");
    // At once, with the numbers of both processes.
    let said = judged("the same rate in the new process", 0);
    assert!(said.out.contains("resets=1"), "{said:?}");
    feed.set(1_000);
    judged("the change in the new process", 2);
    drop(feed);
    coco.stop();
}

fn numbers(name: &str, value: &Value, names: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                numbers(&format!("{name}.{key}"), value, names);
            }
        }
        Value::Number(number) if number.is_u64() => names.push(name.to_owned()),
        _ => {}
    }
}

/// A check of an endpoint with this manner.
fn check_fake(manner: Manner) -> Said {
    let endpoint = Endpoint::start(manner);
    check("coco", &["ks", "send", "--host", &endpoint.address().to_string()])
}

#[test]
fn bad_endpoints_are_unknown_and_it_says_why() {
    let rows = [
        (Manner::ok("{}"), "that is no history"),
        (Manner::ok("[]"), "that is no history"),
        (Manner::ok("{\"interval\": 10, \"times\": [], \"series\": {}}"), "the history is empty"),
        (Manner::ok("{\"interval\": 10, \"times\": [1, 2], \"series\": {}}"), "no numbers of send"),
        (Manner::Answer("404 Not Found", "404 page not found".to_owned()), "for a Coco 1.x"),
    ];
    for (manner, why, said) in ask_each(rows.into_iter().chain(useless()), |address| {
        check("coco", &["ks", "send", "--host", &address.to_string()])
    }) {
        assert_eq!(said.status, 3, "{manner:?}: {said:?}");
        assert!(
            said.out.starts_with("UNKNOWN: ") && said.out.contains(why),
            "{manner:?}: {said:?}"
        );
        assert_eq!(said.out.lines().count(), 1, "{manner:?}: {said:?}");
    }
    let dead = format!("127.0.0.1:{}", free_port());
    for program in ["anomalous_coco_send", "anomalous_coco_errors"] {
        let said = check(program, &["--host", &dead]);
        assert_eq!(said.status, 3, "{said:?}");
        assert!(said.out.contains("no answer") && said.out.contains("refused"), "{said:?}");
    }
}

#[test]
fn names_do_not_break_the_line() {
    let times: Vec<u32> = (0..=60).map(|k| 1_000 + 10 * k).collect();
    let counts: Vec<u32> = (0..=60).map(|k| 100 * k).collect();
    let body = json!({
        "interval": 10, "incarnation": 1, "start_time": 1, "now": 1_600, "times": times,
        "series": { "coco.send.a'b|c=d\n\u{1b}[31m": counts, "coco.send.plain": counts },
    });
    let said = check_fake(Manner::ok(&body.to_string()));
    assert_eq!(said.status, 0, "{said:?}");
    assert_eq!((said.out.lines().count(), said.out.matches('|').count()), (1, 1), "{said:?}");
    assert!(said.out.contains("'a\\x27b\\x7cc\\x3dd\\n\\x1b[31m'=10.0"), "{said:?}");
}

/// Sixty rates 10 s apart that halve in the middle.
fn halving() -> impl Iterator<Item = (u32, f64)> {
    (1..=60_u32).map(|k| {
        let level = if k > 30 { 100.0 } else { 200.0 };
        (1_700_000_000 + 10 * k, level + f64::from(k * 7 % 11))
    })
}

#[test]
fn other_sources_are_read() {
    let folder = folder();
    let file = |name: &str, text: String| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let table = file("t.csv", halving().map(|(time, rate)| format!("{time},{rate}\n")).collect());
    let points: Vec<_> = halving().map(|(time, rate)| json!([rate, time])).collect();
    let graphite = json!([{ "target": "perSecond(coco.send.a)", "datapoints": points }]);
    let render = file("g.json", graphite.to_string());
    let data: Vec<_> = halving().map(|(_, rate)| rate).collect();
    let series = json!({ "value": {
        "start": 1_700_000_000, "finish": 1_700_000_600, "data": data,
    } });
    let visage = json!({ "h": { "curl_json-coco": { "operations-send-a:25826": series } } });
    let rrd = file("v.json", visage.to_string());
    for file in [&[&table[..], "--rates"][..], &[&render], &[&rrd]] {
        let said = check("coco", &[&["ks", "send", "--file"], file].concat());
        assert_eq!(said.status, 2, "{said:?}");
        assert!(said.out.contains(" fell ") && said.out.contains("n=30+30"), "{said:?}");
        let times = "; from 2023-11-14T22:13:20Z to 2023-11-14T22:23:20Z |";
        assert!(said.out.contains(times), "{said:?}");
    }
    // Old numbers of a live source say nothing about now.
    let endpoint = Endpoint::start(Manner::ok(&visage.to_string()));
    let at = endpoint.address().to_string();
    let line = ["--host", "h", "--target", "a", "--endpoint", &at, "--window", "10m"];
    let said = check("anomalous_coco_send", &line);
    assert!(said.out.contains("the newest number is ") && said.status == 3, "{said:?}");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let fresh: Vec<_> = (0..90).rev().map(|k| json!([5.0, now - 10 * k])).collect();
    let fresh = json!([{ "target": "perSecond(coco.errors)", "datapoints": fresh }]);
    let endpoint = Endpoint::start(Manner::ok(&fresh.to_string()));
    let url = format!("http://{}/render?target=x&format=json", endpoint.address());
    let steady = check("coco", &["ks", "send", "--url", &url, "--confirm", "3"]);
    assert_eq!(steady.status, 0, "{steady:?}");
    let lasting = check("coco", &["ks", "errors", "--url", &url]);
    assert_eq!(lasting.status, 2, "{lasting:?}");
    assert!(lasting.out.contains(" last, 5.000/s in the mean of "), "{lasting:?}");

    for (arguments, why) in [
        (&["ks", "send", "--window", "never"][..], "invalid value 'never' for '--window"),
        (&["ks", "sent"], "invalid value 'sent'"),
        (&["ks", "send", "--file", "/nowhere/x"], "No such file"),
        (&["ks", "send", "--endpoint", "v"], "say which, with --target"),
        (&["ks", "send", "--window", "2h"], "more than the 1h that a router keeps"),
        (&["ks", "send", "--url", "https://g/render"], "only plain HTTP"),
        (&["ks"], "required arguments were not provided: <WHAT>"),
        (&["ks", "send", "--host", "127.0.0.1:99999"], "the port is a number from 1 to 65535"),
        (&["ks", "send", "--file", &table, "--target", "a"], "--target cannot be used here"),
        (&["ks", "send", "--rates"], "--rates cannot be used here"),
    ] {
        let said = check("coco", arguments);
        assert_eq!(said.status, 3, "{said:?}");
        assert!(said.out.starts_with("UNKNOWN: ") && said.out.contains(why), "{said:?}");
    }
    let said = check("coco", &["ks", "send", "--json", "--window", "x"]);
    let json: Value = serde_json::from_str(&said.out).unwrap_or_else(|_| panic!("{said:?}"));
    assert_eq!((said.status, &json["grade"]), (3, &json!("UNKNOWN")), "{said:?}");
    assert!(json["line"].as_str().unwrap().contains("'--window"), "{json}");
    assert_eq!(check("coco", &["ks", "--help"]).status, 0);
    assert_eq!(check("anomalous_coco_send", &["--version"]).status, 0);
}
