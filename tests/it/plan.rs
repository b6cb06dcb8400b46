use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    path::Path,
};

use coco_tests::{
    coco::{self, targets},
    corpus,
    process::folder,
};
use serde_json::Value;
use tempfile::TempDir;

/// A folder with `old.toml` and `new.toml`.
fn files(old: &str, new: &str) -> TempDir {
    let folder = folder();
    for (name, text) in [("old.toml", old), ("new.toml", new)] {
        let listeners = "[listen]\nbind = \"127.0.0.1:0\"\n[graphite]\nbind = \"127.0.0.1:0\"\n";
        fs::write(folder.path().join(name), listeners.to_owned() + text).unwrap();
    }
    folder
}

/// A Graphite tier `carbon` with targets of these numbers.
fn tier(keys: &str, numbers: impl IntoIterator<Item = u32>) -> String {
    let addresses: Vec<_> = numbers.into_iter().map(|n| format!("10.0.0.{n}:2003")).collect();
    format!("[tiers.carbon]\nprotocol = \"graphite\"\n{keys}\n{}", targets(&addresses))
}

/// Exit code, standard output and standard error of `coco plan` in this folder.
fn plan(folder: &TempDir, more: &[&str], input: &[u8]) -> (Option<i32>, String, String) {
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (old, new) = (file("old.toml"), file("new.toml"));
    let arguments = [&["plan", &old, &new], more].concat();
    let output = coco::run(&arguments, input);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn json(folder: &TempDir, more: &[&str], input: &[u8]) -> Value {
    let (code, output, error) = plan(folder, &[more, &["--json"]].concat(), input);
    assert_eq!(code, Some(0), "{error}");
    serde_json::from_str(&output).unwrap()
}

fn path(folder: &TempDir, name: &str) -> String {
    folder.path().join(name).to_str().unwrap().to_owned()
}

/// The rows of a list, its header checked.
fn rows(list: &Path) -> Vec<[String; 4]> {
    let text = fs::read_to_string(list).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("#tier\tname\tfrom\tto"));
    let row = |line: &str| {
        let fields: Vec<_> = line.split('\t').map(str::to_owned).collect();
        fields.try_into().unwrap_or_else(|_| panic!("not four fields: {line:?}"))
    };
    lines.map(row).collect()
}

#[test]
fn the_eleventh_target_takes_its_share_and_the_list_names_every_copy() {
    let folder = files(&tier("", 1..=10), &tier("", 1..=11));
    let mut random = corpus::random();
    let names: Vec<_> = (0..20_000).map(|n| corpus::metric_name(&mut random, n)).collect();
    fs::write(folder.path().join("names"), names.join("\n")).unwrap();
    let (names_file, list) = (path(&folder, "names"), path(&folder, "moved.tsv"));
    let plan = json(&folder, &["--names", &names_file, "--moved", &list], b"");
    let tier = &plan["tiers"][0];
    assert_eq!((&tier["status"], &tier["basis"]["exact"]), (&"changed".into(), &true.into()));
    let moved = tier["moved"].as_f64().unwrap();
    assert!((moved - 1.0 / 11.0).abs() < 0.002, "{plan:#}");
    assert_eq!(tier["after"]["10.0.0.11:2003"], tier["moved"], "{plan:#}");
    assert_eq!(tier["names"]["seen"], 20_000, "{plan:#}");

    // The list is what lookups in both files say.
    let owners = |config: &str| {
        let config = path(&folder, config);
        let input = names.join("\n") + "\n";
        let output = coco::run(&["lookup", "--config", &config], input.as_bytes());
        String::from_utf8(output.stdout).unwrap()
    };
    let (old, new) = (owners("old.toml"), owners("new.toml"));
    let mut due = Vec::new();
    for (old, new) in old.lines().zip(new.lines()).filter(|(old, new)| old != new) {
        let [old, new] = [old, new].map(|line| line.split('\t').collect::<Vec<_>>());
        due.push(["carbon", old[0], old[2], new[2]].map(str::to_owned));
    }
    let rows = rows(Path::new(&list));
    assert_eq!(rows, due);
    assert!(rows.iter().all(|row| row[3] == "10.0.0.11:2003"));
    assert_eq!(tier["names"]["moved"], rows.len(), "{plan:#}");
    assert_eq!(plan["names"]["listed"]["rows"], rows.len(), "{plan:#}");
}

#[test]
fn equal_files_move_nothing() {
    let config =
        tier("replicas = 2", 1..=10) + "[tiers.old]\nhash = \"coco\"\ntargets = [\"a:1\"]\n";
    let folder = files(&config, &config);
    for tier in json(&folder, &[], b"")["tiers"].as_array().unwrap() {
        assert_eq!((&tier["status"], &tier["moved"]), (&"same".into(), &0.0.into()), "{tier:#}");
        assert_eq!(tier["warnings"].as_array().map(Vec::len), Some(0), "{tier:#}");
    }
    let (code, output, error) = plan(&folder, &["--fail-above", "0"], b"");
    assert_eq!((code, error.as_str()), (Some(0), ""), "{output}");
    assert!(output.contains("tier carbon is the same"), "{output}");
}

#[test]
fn too_much_to_move_ends_with_3_and_says_where() {
    let folder = files(&tier("", 1..=10), &tier("", 1..=11));
    let (code, output, error) = plan(&folder, &["--fail-above", "20%"], b"");
    assert_eq!((code, error.as_str()), (Some(0), ""), "{output}");
    let (code, output, error) = plan(&folder, &["--fail-above", "5"], b"");
    assert_eq!(code, Some(3), "{output}{error}");
    assert!(error.contains("tier carbon moves 9."), "{error}");
    assert!(output.contains("10.0.0.11:2003"), "the report is printed all the same: {output}");
    let (code, output, _) = plan(&folder, &["--fail-above", "5", "--json"], b"");
    let object: Value = serde_json::from_str(&output).unwrap();
    assert_eq!((code, &object["exceeded"]), (Some(3), &true.into()));
}

#[test]
fn a_person_sees_bars_flows_warnings_and_tiers_that_come_and_go() {
    let old = tier("hash = \"coco\"", 1..=4) + "[tiers.before]\ntargets = [\"b:1\"]\n";
    let new = tier("hash = \"coco\"", [2, 1, 3, 5]) + "[tiers.later]\ntargets = [\"a:1\"]\n";
    let (code, output, error) = plan(&files(&old, &new), &[], b"");
    assert_eq!((code, error.as_str()), (Some(0), ""));
    for part in [
        "tier carbon moves",
        "█",
        "  + 10.0.0.5:2003",
        "  - 10.0.0.4:2003",
        "10.0.0.1:2003 -> 10.0.0.2:2003",
        "warning: hash \"coco\" looks at the order of the targets",
        "warning: 10.0.0.4:2003 became 10.0.0.5:2003 and has no id",
        "tier later is new: all of its samples start fresh",
        "tier before is gone",
    ] {
        let joined = output.split_whitespace().collect::<Vec<_>>().join(" ");
        let part = part.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(joined.contains(&part), "no {part:?} in\n{output}");
    }
    assert!(!output.contains('\x1b'), "{output}");
}

#[test]
fn names_come_from_standard_input_in_any_bytes() {
    let as_is = "names = \"as-is\"";
    let folder = files(&tier(as_is, [1]), &tier(as_is, [2]));
    let list = path(&folder, "moved.tsv");
    // No line can have a name with a blank.
    let names = b"a\n\nb\xff\\c\nno name\r\nd;z=1;a=2";
    let plan = json(&folder, &["--names", "-", "--moved", &list], names);
    assert_eq!((&plan["names"]["read"], &plan["names"]["empty"]), (&4.into(), &1.into()));
    assert_eq!(plan["tiers"][0]["names"]["seen"], 3, "{plan:#}");
    let bytes = fs::read(&list).unwrap();
    let names =
        bytes.split(|byte| *byte == b'\n').filter_map(|row| row.split(|b| *b == b'\t').nth(1));
    let due: [&[u8]; 4] = [b"name", b"a", b"b\xff\\\\c", b"d;z=1;a=2"];
    assert_eq!(names.collect::<Vec<_>>(), due, "{}", bytes.escape_ascii());
}

#[test]
fn faults_are_told_apart_by_their_status() {
    let folder = files(&tier("", 1..=2), &tier("", [1]));
    let (code, output, error) = plan(&folder, &["--names", "/nonexistent/names"], b"");
    assert_eq!((code, output.as_str()), (Some(1), ""));
    assert!(error.contains("/nonexistent/names: cannot read the names"), "{error}");

    let long = [b'x'; 70_000];
    let (code, _, error) = plan(&folder, &["--names", "-"], &[b"a\n", &long[..]].concat());
    assert_eq!(code, Some(1));
    assert!(error.contains("standard input: line 2: longer than 65536 bytes"), "{error}");

    let names = path(&folder, "names");
    fs::write(&names, "a\n").unwrap();
    let (code, _, error) = plan(&folder, &["--names", &names, "--moved", &names], b"");
    assert_eq!(code, Some(1));
    assert!(error.contains("is read as well"), "{error}");
    assert_eq!(fs::read(&names).unwrap(), b"a\n", "the names are still there");

    for usage in [&["--fail-above", "most"][..], &["--from", "https://a:1"], &["--moved", "m"]] {
        let (code, _, error) = plan(&folder, usage, b"");
        assert_eq!(code, Some(2), "{usage:?}: {error}");
    }
    let (code, _, error) = plan(&files(&tier("", [1]), "[tiers.carbon]\nhash = 5\n"), &[], b"");
    assert_eq!(code, Some(78), "{error}");
    assert!(error.contains("new.toml:6"), "{error}");
}

#[test]
fn what_nobody_gets_any_more_ends_with_3() {
    let both = tier("", 1..=2) + "[tiers.hosts]\ntargets = [\"a:1\", \"b:1\"]\n";
    let fails = |old: &str, new: &str| {
        let (code, output, error) = plan(&files(old, new), &["--fail-above", "100"], b"");
        assert!(matches!(code, Some(0 | 3)), "{output}{error}");
        error
    };
    let gone = fails(&both, &tier("", 1..=2));
    assert_eq!(gone, "coco: tier hosts is gone: nobody gets its samples any more\n");
    assert_eq!(fails(&tier("", 1..=2), &both), "", "a new tier takes nothing from anybody");
    let (old, new) = ("[tiers.one]\ntargets = [\"a:1\"]\n", "[tiers.two]\ntargets = [\"a:1\"]\n");
    assert_eq!(fails(old, new), "coco: tier one is gone: it looks renamed to two\n");
    let folder = files(old, &format!("{old}protocol = \"graphite\"\n"));
    let (code, output, error) = plan(&folder, &["--fail-above", "100", "--names", "-"], b"a\n");
    assert_eq!(code, Some(3), "{output}");
    assert!(error.contains("tier one carries another kind of samples"), "{error}");
    assert!(output.contains("moves 100.00 % of the copies: all starts fresh"), "{output}");
}

#[test]
fn other_names_are_judged_by_names_alone() {
    let folder = files(&tier("", 1..=2), &tier("names = \"nanotube\"", 1..=2));
    let (code, output, error) = plan(&folder, &["--fail-above", "50"], b"");
    assert_eq!(code, Some(3), "{output}");
    assert!(error.contains("give --names"), "{error}");
    let words = output.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("exact for names that stay as they are"), "{output}");
    let names = ["--names", "-", "--fail-above", "0"];
    let (code, output, error) = plan(&folder, &names, b"a.b\r\nc.d\r\n");
    assert_eq!((code, error.as_str()), (Some(0), ""), "{output}");
    assert!(output.contains("0 of 2 names move"), "{output}");
}

#[test]
fn a_copy_that_stays_on_its_machine_is_counted_and_not_listed() {
    let tier = |id: &str| {
        let first = format!("{{ address = \"10.0.0.1:2003\", id = \"{id}\" }}");
        format!(
            "[tiers.one]\nprotocol = \"graphite\"\nreplicas = 2\n\
             targets = [{first}, \"10.0.0.2:2003\"]\n"
        )
    };
    let folder = files(&tier("a"), &tier("b"));
    let list = path(&folder, "moved.tsv");
    let arguments = ["--names", "-", "--moved", &list];
    let (code, output, error) = plan(&folder, &arguments, b"a\nb\nc\n");
    assert_eq!((code, error.as_str()), (Some(0), ""), "{output}");
    assert!(output.contains("3 of these copies stay on their machines"), "{output}");
    assert_eq!(rows(Path::new(&list)), [[""; 4]; 0]);
    let plan = json(&folder, &arguments, b"a\n");
    assert_eq!(plan["tiers"][0]["names"]["staying"], 1, "{plan:#}");
    assert_eq!(plan["names"]["listed"]["rows"], 0, "{plan:#}");
}

/// Answers one request with these bytes, and tells its first line.
fn serve(answer: &'static str) -> (String, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let served = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        let mut bytes = [0; 1024];
        while !request.ends_with(b"\r\n\r\n") {
            let count = stream.read(&mut bytes).unwrap();
            assert!(count > 0, "the request has no end");
            request.extend_from_slice(&bytes[..count]);
        }
        stream.write_all(answer.as_bytes()).unwrap();
        String::from_utf8(request).unwrap().lines().next().unwrap_or_default().to_owned()
    });
    (url, served)
}

#[test]
fn live_series_are_asked_for() {
    let both = |numbers| tier("", numbers) + "[tiers.hosts]\ntargets = [\"a:1\", \"b:1\"]\n";
    let folder = files(&both(1..=2), &both(1..=3));
    let (url, served) = serve(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n\
         #series 3 of 9\ngraphite\ta.b\ngraphite\ta.c\ncollectd\tweb\tcpu-0/cpu-idle\n",
    );
    let plan = json(&folder, &["--from", &url], b"");
    assert_eq!(served.join().unwrap(), "GET /series HTTP/1.1");
    let seen = |tier: usize| plan["tiers"][tier]["names"]["seen"].as_u64();
    assert_eq!((seen(0), seen(1)), (Some(2), Some(1)), "{plan:#}");
    assert_eq!(plan["names"]["series"]["total"], 9, "{plan:#}");
}

#[test]
fn what_came_instead_of_series_is_told() {
    let folder = files(&tier("", [1]), &tier("", 1..=2));
    for (answer, due) in [
        (
            "HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nnope\n",
            "answered 404 Not Found: nope",
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n<html>\n", "starts with \"<html>\""),
        (
            "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n#series 1 of 1\na.b 1 2\n",
            "line 2: `a.b 1 2` is no row of /series",
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n#series 2 of 2\ngraphite\ta\n", "line 2: "),
        (
            "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n#series 2 of 2\ngraphite\ta\n",
            "ended after 1 of 2 series",
        ),
        ("HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", "301"),
        ("SSH-2.0-x\r\n\r\n", "no answer"),
    ] {
        let (url, served) = serve(answer);
        let (code, _, error) = plan(&folder, &["--from", &url], b"");
        assert_eq!(code, Some(1), "{error}");
        let asked = format!("GET {url}/series");
        assert!(error.contains(&asked) && error.contains(due), "no {due:?} in {error}");
        served.join().unwrap();
    }
    // A port that nobody listens on any more.
    let url = format!("http://{}", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
    let (code, _, error) = plan(&folder, &["--from", &url], b"");
    assert_eq!(code, Some(1));
    assert!(error.contains("no answer; does a Coco run there?"), "{error}");
}

#[test]
fn a_name_that_will_be_stored_under_another_is_told_and_gated() {
    let rule =
        |names: &str| tier(&format!("hash = \"c-relay/carbon_ch\"\nnames = \"{names}\""), [1]);
    let folder = files(&rule("c-relay"), &rule("nanotube"));
    let names = b"x;a=b\na.b\n";
    let (code, output, error) = plan(&folder, &["--names", "-", "--fail-above", "10"], names);
    assert_eq!(code, Some(3), "{output}{error}");
    assert!(output.contains("1 name of these will be stored under another name"), "{output}");
    assert!(error.contains("50.00 % of these names to another name"), "{error}");
}
