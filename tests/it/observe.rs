//! Every name in the rules, in the dashboard and in the scrape file is one that a running Coco exports, and the
//! real Prometheus takes them all.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Command,
};

use coco_tests::{
    coco::{Coco, root},
    feed::Feed,
    http,
    port::free_port,
    process::{Process, folder, program},
    sink::{LineSink, UdpSink},
    tools::{output_of, script},
    wait::{SOON, wait_for, wait_until},
};
use serde_json::Value;
use tempfile::TempDir;

/// What shows nothing where nothing is shed.
const QUIET_PANELS: [&str; 1] = ["Shed, by reason"];

fn deploy(file: &str) -> PathBuf {
    root().join("deploy").join(file)
}

fn text(file: &str) -> String {
    let path = deploy(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All pages for operators.
fn runbooks() -> String {
    let pages = fs::read_dir(root().join("docs/runbooks")).unwrap();
    pages.map(|page| fs::read_to_string(page.unwrap().path()).unwrap()).collect()
}

fn dashboard() -> Value {
    serde_json::from_str(&text("grafana/coco.json")).unwrap()
}

fn promtool(arguments: &[&str]) -> String {
    let folder = deploy("prometheus");
    output_of(Command::new(program("promtool", "prometheus")).args(arguments).current_dir(folder))
}

/// One with a spool, a target that nobody serves and one that is asked by a probe: it exports all there is.
fn rich(dir: &Path, carbon: &LineSink, collectd: &UdpSink) -> Coco {
    let spool = dir.join("spool");
    Coco::start(&format!(
        "[listen]\nbind = \"127.0.0.1:0\"\n[graphite]\nbind = \"127.0.0.1:0\"\npickle = \"127.0.0.1:0\"\n\
         [tiers.carbon]\nprotocol = \"graphite\"\ntargets = [\"{}\", \"127.0.0.1:1\"]\n\
         [tiers.short]\ntargets = [{{ address = \"{}\", id = \"a\", probe = \"tcp:{}\" }}]\n\
         [tiers.recent]\nprotocol = \"embedded\"\ntargets = [\"here\"]\n\
         [spool]\ndirectory = {spool:?}\n",
        carbon.address(),
        collectd.address(),
        carbon.address().port(),
    ))
}

/// A real Prometheus with the scrape file and the rules of `deploy/`, for this one Coco.
struct Prometheus {
    process: Process,
    address: SocketAddr,
    _dir: TempDir,
}

impl Prometheus {
    fn start(coco: &Coco) -> Self {
        let dir = folder();
        let config = text("prometheus/prometheus.yml")
            .replace("15s", "1s")
            .replace("5s", "1s")
            .replace("          - router-2.example.com:9090\n", "")
            .replace("router-1.example.com:9090", &coco.api().to_string());
        fs::write(dir.path().join("prometheus.yml"), config).unwrap();
        fs::copy(deploy("prometheus/coco.rules.yml"), dir.path().join("coco.rules.yml")).unwrap();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let mut command = Command::new(program("prometheus", "prometheus"));
        command
            .arg(format!("--web.listen-address={address}"))
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"])
            .current_dir(dir.path());
        let mut process = Process::start("prometheus", &mut command);
        process.wait_for_line(&["Server is ready to receive web requests"], SOON);
        Self { process, address, _dir: dir }
    }

    /// `data` of an answer of its API; fails on any status but 200.
    #[track_caller]
    fn get(&self, path: &str) -> Value {
        let answer = http::get(self.address, &format!("/api/v1/{path}"));
        let answer = answer.unwrap_or_else(|error| panic!("{path}: {error}"));
        assert_eq!(answer.status, 200, "{path}: {}\n{}", answer.body, self.process.log());
        serde_json::from_str::<Value>(&answer.body).unwrap()["data"].clone()
    }

    /// What a query finds now.
    #[track_caller]
    fn query(&self, query: &str) -> Vec<Value> {
        let found = self.get(&format!("query?query={}", http::encode(query.as_bytes())));
        found["result"].as_array().unwrap_or_else(|| panic!("{query}: {found}")).clone()
    }

    /// All rules, alerts among them.
    fn rules(&self) -> Vec<Value> {
        let groups = self.get("rules")["groups"].clone();
        let rules = groups.as_array().unwrap().iter().map(|group| group["rules"].clone());
        rules.flat_map(|rules| rules.as_array().unwrap().clone()).collect()
    }
}

/// The words of a text that begin with `coco_`: names of metrics, but not those that rules record.
fn metrics(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let words = text.split(|c| !is_part(c)).filter(|word| word.starts_with("coco_"));
    words.filter(|word| !word.contains(':')).map(str::to_owned).collect()
}

/// Panels by title, rows left out, each with its queries.
fn panels(dashboard: &Value) -> BTreeMap<String, Vec<String>> {
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let panels = panels.filter(|panel| panel["type"] != "row");
    let queries = |panel: &Value| {
        let targets = panel["targets"].as_array().unwrap().iter();
        targets.map(|target| target["expr"].as_str().unwrap().to_owned()).collect()
    };
    panels.map(|panel| (panel["title"].as_str().unwrap().to_owned(), queries(panel))).collect()
}

/// A query of the dashboard as Grafana asks it when all of one fleet are chosen.
fn filled(query: &str) -> String {
    ["instance", "tier", "target"]
        .iter()
        .fold(query.to_owned(), |query, variable| query.replace(&format!("${variable}"), ".*"))
        .replace("$job", "coco")
        .replace("$__rate_interval", "1m")
}

#[test]
fn promtool_takes_the_scrape_file_and_the_rules() {
    promtool(&["check", "config", "prometheus.yml"]);
    promtool(&["check", "rules", "--lint=all", "--lint-fatal", "coco.rules.yml"]);
}

#[test]
fn every_alert_fires_when_it_should_and_only_then() {
    promtool(&["test", "rules", "coco.tests.yml"]);
    let (rules, tests) = (text("prometheus/coco.rules.yml"), text("prometheus/coco.tests.yml"));
    let alerts: Vec<_> = rules.lines().filter_map(|line| line.split_once("- alert: ")).collect();
    assert!(alerts.len() > 25, "{} alerts only", alerts.len());
    for (_, alert) in alerts {
        let fires = format!("ALERTS{{alertname=\"{alert}\",alertstate=\"firing\"");
        assert!(tests.contains(&fires), "no test in which {alert} fires");
    }
    // The first one has a row of everything, and nothing fires.
    let healthy = tests.split("  - name: ").nth(1).unwrap();
    for metric in metrics(&rules) {
        assert!(healthy.contains(&format!("'{metric}{{")), "{metric} is not in the healthy test");
    }
}

#[test]
fn the_real_prometheus_watches_a_running_coco_by_our_files() {
    let (carbon, collectd, dir) = (LineSink::start(), UdpSink::start(), folder());
    let coco = rich(dir.path(), &carbon, &collectd);
    let prometheus = Prometheus::start(&coco);
    let feed = Feed::start(coco.listener("line-tcp"), 100);
    wait_until("two scrapes with samples", SOON, || {
        !prometheus.query("rate(coco_samples_decoded_total[1m]) > 0").is_empty()
    });
    let up = prometheus.query("up{job=\"coco\"}");
    assert_eq!(up.len(), 1, "{up:?}");
    assert_eq!(up[0]["value"][1], "1", "{up:?}");
    // A mistake in a query of the dashboard is an answer of 400; a label that is not there finds nothing.
    for (title, queries) in panels(&dashboard()) {
        for query in queries {
            let found = prometheus.query(&filled(&query));
            let may_be_empty = QUIET_PANELS.contains(&title.as_str());
            assert!(!found.is_empty() || may_be_empty, "{title}: {query} finds nothing");
        }
    }
    for annotation in dashboard()["annotations"]["list"].as_array().unwrap() {
        prometheus.query(&filled(annotation["expr"].as_str().unwrap()));
    }
    wait_until("all rules to be evaluated", SOON, || {
        prometheus.rules().iter().all(|rule| rule["health"] == "ok")
    });
    for alert in prometheus.rules().iter().filter(|rule| rule["type"] == "alerting") {
        let (name, notes) = (alert["name"].as_str().unwrap(), &alert["annotations"]);
        for note in ["summary", "description"] {
            assert!(notes[note].as_str().is_some_and(|it| it.len() > 20), "{name} has no {note}");
        }
        let severity = alert["labels"]["severity"].as_str().unwrap();
        assert!(["critical", "warning"].contains(&severity), "{name}: {severity}");
        if let Some(page) = notes["runbook"].as_str() {
            assert!(root().join(page).is_file(), "{name} names {page}");
        }
    }
    // Nothing but the target that is not there is wrong with it.
    let firing = prometheus.query("ALERTS{alertstate=\"firing\",alertname!=\"CocoTargetDown\"}");
    assert!(firing.is_empty(), "{firing:?}");
    drop((feed, prometheus));
    coco.stop();
}

#[test]
fn every_metric_that_the_rules_and_the_dashboard_name_is_exported() {
    let (carbon, collectd, dir) = (LineSink::start(), UdpSink::start(), folder());
    let coco = rich(dir.path(), &carbon, &collectd);
    let mut named = metrics(&text("prometheus/coco.rules.yml"));
    named.append(&mut metrics(&text("grafana/coco.json")));
    named.append(&mut metrics(&text("prometheus/prometheus.yml")));
    named.append(&mut metrics(&text("helm/coco/templates/NOTES.txt")));
    named.append(&mut metrics(&runbooks()));
    assert!(named.len() > 50, "{named:?}");
    let exported = |page: &str| -> BTreeSet<String> {
        let rows = page.lines().filter(|line| !line.starts_with('#'));
        rows.map(|row| row.split(['{', ' ']).next().unwrap().to_owned()).collect()
    };
    wait_for("all of them", SOON, || {
        let exported = exported(&coco.get("/metrics").body);
        let missing: Vec<_> = named.difference(&exported).collect();
        if missing.is_empty() { Ok(()) } else { Err(format!("{missing:?} are missing")) }
    });
    // Whoever is told that samples are shed is told the reason only.
    let (rules, ledger) = (text("prometheus/coco.rules.yml"), coco.ledger());
    let reasons = ledger.json()["tiers"][0]["targets"][0]["shed"].as_object().unwrap();
    assert!(reasons.len() > 5, "{reasons:?}");
    for reason in reasons.keys().map(String::as_str).chain(["no_ring"]) {
        let explained = [": ", ", "].iter().any(|end| rules.contains(&format!("{reason}{end}")));
        assert!(explained, "no alert explains {reason}");
    }
    coco.stop();
}

#[test]
fn every_setting_that_the_rules_and_the_pages_name_exists() {
    let all = text("prometheus/coco.rules.yml") + &text("grafana/coco.json") + &runbooks();
    let example = text("coco.toml");
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
    let words = all.split(|c| !is_part(c)).map(|word| word.trim_end_matches('.'));
    let settings: BTreeSet<_> = words
        .filter_map(|word| word.split_once('.'))
        .filter(|(section, _)| ["limits", "spool", "measure"].contains(section))
        .collect();
    assert!(settings.len() > 5, "{settings:?}");
    for (section, key) in settings {
        let (_, after) = example.split_once(&format!("\n[{section}]\n")).expect("a section");
        let rows = after.lines().take_while(|row| !row.starts_with('['));
        let is_there = rows.filter_map(|row| row.split_once(" = ")).any(|(name, _)| name == key);
        assert!(is_there, "{section}.{key} is no setting");
    }
}

#[test]
fn the_dashboard_is_laid_out_as_grafana_wants_it() {
    let file = deploy("grafana/coco.json");
    let faults = script("dashboard.py", &[file.as_os_str()]);
    assert!(faults.status.success(), "{}", String::from_utf8_lossy(&faults.stderr));
    assert_eq!(String::from_utf8_lossy(&faults.stdout), "");
    let dashboard = dashboard();
    assert_eq!(dashboard["schemaVersion"], 39);
    assert!(dashboard.get("id").is_none(), "Grafana gives the id");
    let (mut ids, mut taken) = (BTreeSet::new(), BTreeSet::new());
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title} has the id of another one");
        let [x, y, w, h] =
            ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64().unwrap());
        assert!(w > 0 && h > 0 && x + w <= 24, "{title} leaves the 24 columns");
        for place in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            assert!(taken.insert(place), "{title} lies on another one at {place:?}");
        }
        if panel["type"] != "row" {
            assert!(panel["description"].as_str().is_some_and(|it| it.len() > 20), "{title}");
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
        }
    }
    // Every variable that is used is one of the dashboard's.
    let all = dashboard.to_string();
    let variables = dashboard["templating"]["list"].as_array().unwrap().iter();
    let variables: Vec<_> = variables.map(|variable| variable["name"].as_str().unwrap()).collect();
    for name in ["datasource", "job", "instance", "tier", "target"] {
        assert!(variables.contains(&name), "{name} is no variable");
    }
    let used = all.split("\\\"$").skip(1).map(|rest| rest.split('\\').next().unwrap());
    used.for_each(|name| assert!(variables.contains(&name), "{name} is no variable"));
}
