//! What is judged of which source, by which name.

use clap::Parser;
use coco_checks::Grade;
use proptest::prelude::*;

use super::*;
use crate::ks::{args::Old, findings::Findings};

fn options(line: &str) -> Options {
    Old::try_parse_from(format!("x {line}").trim().split(' ')).unwrap().options
}

#[test]
fn what_is_judged_has_a_name() {
    let all = options("");
    assert_eq!(shown(What::Errors, &all, "errors.send.write").as_deref(), Some("send.write"));
    assert_eq!(shown(What::Errors, &all, "errors.send.dial"), None);
    assert_eq!(shown(What::Send, &all, "send.a:1").as_deref(), Some("a:1"));
    assert_eq!(shown(What::Send, &all, "send.total"), None);
    let one = options("--target 10.0.0.1");
    assert_eq!(shown(What::Send, &one, "send.10.0.0.1:1").as_deref(), Some("10.0.0.1:1"));
    assert_eq!(shown(What::Send, &one, "send.10.0.0.11:1"), None);
    for (asked, label, is_meant) in [
        ("10.0.0.1", "10.0.0.1:2003:a", true),
        ("10.0.0.1:2003", "10.0.0.1:2003:a", true),
        ("10.0.0.1:200", "10.0.0.1:2003", false),
        ("[::1]", "[::1]:2003", true),
        ("[:", "[::1]:2003", false),
    ] {
        let options = options(&format!("--target {asked}"));
        let found = shown(What::Send, &options, &format!("send.{label}"));
        assert_eq!(found.is_some(), is_meant, "{asked} {label}");
    }
    let refused = "target.10.0.0.1:1.refused";
    assert_eq!(shown(What::Errors, &one, refused).as_deref(), Some("10.0.0.1:1"));
    assert_eq!(shown(What::Errors, &one, "errors.send.write"), None);
}

#[test]
fn a_file_is_what_it_looks_like() {
    let args = Ks { what: What::Send, options: options("") };
    let read = |text: &str| of_file(text.as_bytes(), "f".to_owned(), &args);
    let table = read("time,value\n0,1\n10,21\n20,41\n").unwrap();
    assert_eq!((table.interval, table.newest), (10.0, 20.0));
    assert_eq!(table.series[0].rates.rates.len(), 2);
    let graphite = read(r#"[{"target":"perSecond(a)","datapoints":[[2.5,10],[null,20]]}]"#);
    let graphite = graphite.unwrap();
    assert_eq!((graphite.newest, graphite.series[0].rates.rates.len()), (10.0, 1));
    for (bad, why) in [
        ("", "there are no values"),
        ("{\"coco\":{}}", "has no rates"),
        ("<html>", "HTML"),
        ("[]", "no series"),
        ("{}", "no series"),
        ("{\"times\":[]}", "no list `times`, `interval`"),
        ("a,b\nc,d\n", "line 2"),
    ] {
        let said = format!("{:#}", read(bad).unwrap_err());
        assert!(said.contains(why), "{bad}: {said}");
    }
}

#[test]
fn what_a_source_would_pass_over_is_refused() {
    let history =
        r#"{"interval":10,"times":[0,10],"series":{"coco.send.a:1":[0,1],"coco.send.b:1":[0,1]}}"#;
    let graphite = r#"[{"target":"a","datapoints":[[1,0],[2,10]]}]"#;
    let visage = r#"{"a":{"start":0,"finish":20,"data":[1,2]}}"#;
    let table = "0,1\n10,2\n";
    for (line, text, why) in [
        ("--target a", table, Some("--target")),
        ("--target a", graphite, Some("--target")),
        ("--target a", visage, Some("--target")),
        ("--target a", history, None),
        ("--rates", history, Some("--rates")),
        ("--rates", table, None),
        ("--rates", graphite, None),
    ] {
        let args = Ks { what: What::Send, options: options(line) };
        match (of_file(text.as_bytes(), "f".to_owned(), &args), why) {
            (Ok(data), None) => assert_eq!(data.series.len(), 1, "{line} {text}"),
            (Err(error), Some(why)) => assert!(error.to_string().starts_with(why), "{error}"),
            (found, _) => panic!("{line} {text}: {found:?}"),
        }
    }
    for line in ["--rates", "--rates --source vars", "--url http://a/ --target b"] {
        let args = Ks { what: What::Send, options: options(line) };
        let error = read(&args).unwrap_err().to_string();
        assert!(error.contains("cannot be used here"), "{line}: {error}");
    }
}

/// Texts of the shapes that are read, with odd numbers in them.
fn shapes() -> impl Strategy<Value = String> {
    let number = || prop_oneof![Just("null"), Just("-1"), Just("1e308"), Just("0"), Just("7.5")];
    let numbers = || prop::collection::vec(number(), 0..8).prop_map(|all| all.join(","));
    let history = (number(), numbers(), numbers()).prop_map(|(interval, times, values)| {
        let head = format!("{{\"interval\":{interval},\"times\":[{times}]");
        format!("{head},\"now\":1,\"series\":{{\"coco.send.a\":[{values}]}}}}")
    });
    let graphite = numbers()
        .prop_map(|pair| format!("[{{\"target\":\"a\",\"datapoints\":[[{pair}],[{pair}]]}}]"));
    let visage = (number(), numbers())
        .prop_map(|(start, data)| format!("{{\"a\":{{\"start\":{start},\"data\":[{data}]}}}}"));
    prop_oneof![history, graphite, visage, "\\PC{0,80}", "([0-9.e-]{1,9},[0-9.e-]{0,9}\n){0,9}"]
}

proptest! {
    #[test]
    fn whatever_is_read_is_judged_and_too_little_is_never_ok(
        text in shapes(),
        line in prop_oneof![Just(""), Just("--rates")],
    ) {
        let args = Ks { what: What::Send, options: options(line) };
        if let Ok(data) = of_file(text.as_bytes(), "f".to_owned(), &args) {
            prop_assert_ne!(Findings::of(&args, data).grade(), Grade::Ok);
        }
    }
}
