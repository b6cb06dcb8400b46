//! What is read from the answer of a router.

use clap::Parser;
use coco_checks::Grade;
use serde_json::json;

use super::*;
use crate::ks::{
    args::{Ks, Old},
    findings::Findings,
};

fn options(line: &str) -> Options {
    Old::try_parse_from(format!("x {line}").trim().split(' ')).unwrap().options
}

#[test]
fn targets_come_with_what_is_due_to_them() {
    let mut json = json!({
        "interval": 10, "incarnation": 7, "start_time": 7, "now": 21.0, "times": [0, 10, 20],
        "series": {
            "coco.send.a:1": [0, 10, 20],
            "coco.send.b:1": [0, null, 0],
            "coco.send.c:1": [5, 5, 5],
            "coco.send.total": [5, 15, 25],
            "coco.target.c:1.state": [1, 1, 3],
            "coco.ledger.short.a:1.offered": [0, 20, 40],
            "coco.ledger.long.a:1.offered": [0, 10, 20],
            "coco.filter.accepted": [0, 100, 200],
            "coco.ledger.residual": [0, 0, 1],
        },
    });
    let read = |json: &Value| data(json, What::Send, &options("")).unwrap();
    let data = read(&json);
    let names: Vec<_> = data.series.iter().map(|series| series.name.as_str()).collect();
    assert_eq!(names, ["a:1", "b:1"]);
    let value = |rates: &Rates| rates.rates[0].value;
    assert_eq!(value(&data.series[0].rates), 1.0);
    assert_eq!(value(data.series[0].due.as_ref().unwrap()), 3.0);
    // What all accepted does not fall to one of which this is not told, where it is told of others.
    assert_eq!(data.series[1].due, None);
    assert_eq!(data.residual, [Some(0.0), Some(0.0), Some(1.0)]);
    assert_eq!((data.newest, data.now, data.started), (20.0, Some(21.0), Some(7.0)));
    assert_eq!((data.kept, data.left_out), (Some(3600.0), 0));
    let series = json["series"].as_object_mut().unwrap();
    series.retain(|name, _| !name.ends_with(".offered"));
    json["left_out"] = json!(3);
    let data = read(&json);
    assert_eq!(value(data.series[1].due.as_ref().unwrap()), 10.0);
    assert_eq!(data.left_out, 3);
}

#[test]
fn a_target_whose_name_ends_like_another_is_its_own() {
    let json = json!({
        "interval": 10, "now": 11.0, "times": [0, 10],
        "series": {
            "coco.send.a:1": [0, 10], "coco.send.eu.a:1": [0, 10],
            "coco.ledger.t.a:1.offered": [0, 10],
            "coco.ledger.t.eu.a:1.offered": [0, 500],
            "coco.ledger.two.words.a:1.offered": [0, 30],
            "coco.ledger.t.eu.a:1.shed_loop": [0, 70],
        },
    });
    for target in ["", "--target a:1"] {
        let data = data(&json, What::Send, &options(target)).unwrap();
        let first = &data.series[0];
        assert_eq!((first.name.as_str(), first.due.as_ref().unwrap().rates[0].value), ("a:1", 4.0));
    }
    let data = data(&json, What::Shed, &options("")).unwrap();
    let first = &data.series[0];
    assert_eq!((data.series.len(), first.name.as_str()), (1, "eu.a:1"));
    assert_eq!(first.rates.rates[0].value, 7.0);
    let asked = names(What::Send, &options("--target a:1"));
    assert!(asked.contains(&"coco.send.*a:1*".to_owned()), "{asked:?}");
}

#[test]
fn what_only_a_former_process_had_is_gone() {
    let json = json!({
        "interval": 10, "now": 41.0, "times": [0, 10, 20, 30, 40], "resets": [25],
        "series": {
            "coco.send.a:1": [0, 10, 20, 0, 10],
            "coco.send.b:1": [0, 10, 20, null, null],
            "coco.send.c:1": [null, null, null, 0, null],
            "coco.target.b:1.state": [1, 1, 3, null, null],
        },
    });
    let data = data(&json, What::Send, &options("")).unwrap();
    let names: Vec<_> = data.series.iter().map(|series| series.name.as_str()).collect();
    assert_eq!((names, data.gone), (vec!["a:1", "c:1"], vec!["b:1".to_owned()]));
}

#[test]
fn a_target_is_closed_for_as_long_as_its_newest_states_say_so() {
    let since = |states: Value| {
        let json = json!({
            "interval": 10, "now": 41.0, "times": [0, 10, 20, 30, 40],
            "series": { "coco.send.a:1": [0, 0, 0, 0, 0], "coco.target.a:1.state": states },
        });
        data(&json, What::Send, &options("")).unwrap().series[0].closed_since
    };
    for (states, closed_since) in [
        (json!([1, 1, 5, 4, 4]), Some(30.0)),
        // It is probed, and sent to.
        (json!([4, 4, 4, 5, 5]), None),
        (json!([0, 0, 0, 0, 0]), Some(0.0)),
        (json!([null, null, null, null, 0]), Some(40.0)),
        (json!([4, 4, 4, 4, 2]), None),
        (json!([4, 2, 2, 2, 0]), Some(40.0)),
        (json!([6, 6, 6, 6, 6]), None),
    ] {
        assert_eq!(since(states.clone()), closed_since, "{states}");
    }
}

#[test]
fn canaries_are_no_traffic() {
    let json = json!({
        "interval": 10, "now": 61.0, "times": [0, 10, 20, 30, 40, 50, 60], "resets": [45],
        "series": {
            "coco.send.a:1": [0, 10, 20, 31, 43, 0, 1],
            // The third one waits while it is counted; each process counts anew.
            "coco.canaries.a:1": [null, null, null, 2, 3, null, 1],
            "coco.send.b:1": [0, 0, 1, 1, 2, 0, 0],
            "coco.canaries.b:1": [null, 1, 1, 2, 2, null, null],
            "coco.ledger.t.a:1.offered": [0, 10, 20, 32, 43, 0, 1],
            "coco.ledger.t.b:1.offered": [0, 1, 1, 2, 2, 0, 0],
        },
    });
    let data = data(&json, What::Send, &options("")).unwrap();
    let values = |rates: &Rates| rates.rates.iter().map(|rate| rate.value).collect::<Vec<_>>();
    assert_eq!(values(&data.series[0].rates), [1.0, 1.0, 0.9, 1.1, 0.0]);
    assert_eq!(values(data.series[0].due.as_ref().unwrap()), [1.0, 1.0, 1.0, 1.0, 0.0]);
    assert_eq!(values(&data.series[1].rates), [0.0; 5]);
    assert_eq!(values(data.series[1].due.as_ref().unwrap()), [0.0; 5]);
}

#[test]
fn only_a_closed_target_with_something_due_is_silent() {
    let grade = |what, state: Value, offered: Value, sent: Value| {
        let json = json!({
            "interval": 10, "now": 61.0, "times": [0, 10, 20, 30, 40, 50, 60],
            "series": {
                "coco.send.a:1": sent, "coco.target.a:1.state": state,
                "coco.ledger.t.a:1.offered": offered, "coco.filter.accepted": [0, 5, 10, 15, 20, 25, 30],
            },
        });
        let args = Ks { what, options: options("") };
        Findings::of(&args, data(&json, what, &args.options).unwrap()).grade()
    };
    let all = |n: u32| Value::from(vec![n; 7]);
    let seldom = json!([3, 3, 3, 3, 3, 4, 4]);
    for (what_it_is, state, offered, sent, is_silent) in [
        ("down, and something is due", all(4), seldom.clone(), all(3), true),
        ("connecting, and something is due", all(0), seldom.clone(), all(3), true),
        ("up, and it may be sent yet", all(1), seldom.clone(), all(3), false),
        ("idle", all(0), all(3), all(3), false),
        ("down, and only probed", all(4), all(3), all(3), false),
        ("removed", all(3), seldom.clone(), all(3), false),
        (
            "new",
            json!([null, null, null, null, null, 0, 0]),
            json!([null, null, null, null, null, 0, 4]),
            json!([null, null, null, null, null, 0, 0]),
            false,
        ),
        ("just gone down", json!([1, 1, 1, 1, 1, 5, 4]), seldom, all(3), false),
    ] {
        for what in [What::Send, What::Errors] {
            let found = grade(what, state.clone(), offered.clone(), sent.clone());
            let wanted = if is_silent { Grade::Critical } else { Grade::Unknown };
            assert_eq!(found, wanted, "{what_it_is}: {what:?}");
        }
    }
}

#[test]
fn what_can_never_be_sent_is_not_due() {
    let grade = |unfit: &str| {
        let name = format!("coco.ledger.t.a:1.{unfit}");
        let json = json!({
            "interval": 10, "now": 61.0, "times": [0, 10, 20, 30, 40, 50, 60],
            "series": {
                "coco.send.a:1": [3, 3, 3, 3, 3, 3, 3], "coco.target.a:1.state": [2, 2, 2, 2, 2, 2, 2],
                "coco.ledger.t.a:1.offered": [3, 4, 4, 5, 5, 6, 6], name: [0, 1, 1, 2, 2, 3, 3],
            },
        });
        let args = Ks { what: What::Send, options: options("") };
        Findings::of(&args, data(&json, What::Send, &args.options).unwrap()).grade()
    };
    assert_eq!(grade("shed_bad_name"), Grade::Unknown, "too little history");
    assert_eq!(grade("shed_oversize"), Grade::Unknown, "too little history");
    assert_eq!(grade("shed_queue_full"), Grade::Critical);
    for what in [What::Send, What::Errors] {
        let asked = names(what, &options(""));
        assert!(asked.contains(&"coco.ledger.*.*.shed_bad_name".to_owned()), "{asked:?}");
    }
}

#[test]
fn canaries_that_were_given_up_do_not_make_a_target_silent() {
    let json = json!({
        "interval": 10, "now": 61.0, "times": [0, 10, 20, 30, 40, 50, 60],
        "series": {
            // Of nine that it was to get before, none was sent.
            "coco.send.a:1": [0, 0, 1, 2, 3, 4, 5], "coco.canaries.a:1": [9, 9, 9, 9, 9, 9, 9],
            "coco.ledger.t.a:1.offered": [9, 10, 11, 12, 13, 14, 15],
        },
    });
    let args = Ks { what: What::Send, options: options("") };
    let found = Findings::of(&args, data(&json, What::Send, &args.options).unwrap());
    assert_eq!(found.grade(), Grade::Unknown, "{found:?}");
}

#[test]
fn an_older_router_is_asked_in_its_own_way() {
    let path = path(Duration::from_secs(60), vec!["coco.send.*".to_owned()]);
    let older = |path: &str| match path.contains("still") {
        true => Err("answered 400 Bad Request: unknown parameter `still`; known: name, window"),
        false => Ok(json!(path)),
    };
    let answer = ask_each_age(&path, older).unwrap();
    assert_eq!(answer, "/debug/history?window=60000ms&name=coco.send.*");
    assert_eq!(ask_each_age(&path, |path| Ok::<_, String>(json!(path))).unwrap(), path);
    let asked = std::cell::Cell::new(0);
    let bad = ask_each_age(&path, |_| {
        asked.set(asked.get() + 1);
        Err("answered 503")
    });
    assert_eq!((bad, asked.get()), (Err("answered 503"), 1));
    // As it is told with what it was asked.
    let told = |path: &str| match older(path) {
        Err(why) => Err(anyhow::anyhow!(why).context("GET /debug/history")),
        Ok(json) => Ok(json),
    };
    assert!(ask_each_age(&path, told).is_ok());
}

#[test]
fn an_empty_or_strange_history_is_an_error() {
    for (json, why) in [
        (json!({}), "no list `times`"),
        (json!([]), "no list `times`"),
        (json!({"interval": 10, "times": [], "series": {}}), "the history is empty"),
        (
            json!({"interval": 10, "times": [1, 2], "series": {"coco.send.a": [1]}}),
            "send.a has 1 values at 2 times",
        ),
    ] {
        let said = data(&json, What::Send, &options("")).unwrap_err().to_string();
        assert!(said.contains(why), "{json}: {said}");
    }
}
