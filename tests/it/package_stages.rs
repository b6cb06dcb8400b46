//! The package that everybody installs, by the stages of `deploy/pipeline`, on a machine with systemd, under load.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Instant,
};

use coco_tests::{
    coco::root,
    flood::feed_lines_evenly,
    marks::Marks,
    package::{faulty_package, package},
    service::{API, LINES, Service},
    wait::{SOON, wait_for, wait_until},
};
use serde_json::Value;

/// Lines a second.
const RATE: f64 = 10_000.0;

/// More than are sent.
const LINES_MAX: usize = 4_000_000;

/// Readings that must be there before something is compared with them.
const READINGS: usize = 30;

/// Where the stages are on the machine.
const STAGES: &str = "/srv/pipeline";

fn config(stores: &Marks) -> String {
    format!(
        "[graphite]\nbind = \"{LINES}\"\n[measure]\ninterval = \"200ms\"\n\
         [spool]\ndirectory = \"/var/lib/coco/spool\"\n\
         [tiers.archive]\nprotocol = \"graphite\"\n{}[api]\nbind = \"{API}\"\n",
        stores.as_targets()
    )
}

/// Runs a stage there, where the router is the machine itself; what it has said.
#[track_caller]
fn stage(service: &Service, words: &[&str]) -> String {
    let (program, router) =
        (format!("{STAGES}/{}", words[0]), format!("COCO_ROUTERS=router-1=http://{API}"));
    // A busy machine changes rates by itself, and takes its time.
    let verify = ["COCO_VERIFY_SECONDS=120", "COCO_VERIFY_ARGS=--min-change 50%"];
    let given = ["COCO_RUN=", verify[0], verify[1], &router, &program];
    let since = Instant::now();
    let output = service.machine.run(&[&given, &words[1..]].concat());
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    eprintln!("STAGE {words:?} {:.1} s\n{said}", since.elapsed().as_secs_f64());
    assert!(output.status.success(), "{words:?}: {}", output.status);
    said
}

/// Which version of the package is installed, and which one runs.
#[track_caller]
fn versions(service: &Service) -> [String; 2] {
    let installed = service.machine.succeed(&["dpkg-query", "-W", "-f=${Version}", "coco"]);
    [installed, json(service, "/debug/vars")["process"]["version"].as_str().unwrap().to_owned()]
}

#[track_caller]
fn json(service: &Service, path: &str) -> Value {
    serde_json::from_str(&service.get(path).unwrap().body).unwrap()
}

fn program_version(service: &Service, program: &str) -> String {
    let said = service.machine.succeed(&[program, "--version"]);
    said.strip_prefix("coco ").expect("coco VERSION").to_owned()
}

#[test]
fn the_real_package_goes_in_by_the_stages_and_back_under_load_and_nothing_is_lost() {
    let [old, new] = [package(Some(1)), faulty_package(3)];
    let service = Service::new(&[("old", &old), ("new", &new)]);
    let machine = &service.machine;
    machine.succeed(&["mkdir", STAGES]);
    for entry in fs::read_dir(root().join("deploy/pipeline")).unwrap() {
        let file = entry.unwrap();
        fs::copy(file.path(), machine.path(STAGES).join(file.file_name())).unwrap();
    }
    service.install("old");
    let stores = machine.inside(|| Marks::of_lines(2, LINES_MAX));
    service.configure(&config(&stores));
    machine.succeed(&["systemctl", "restart", "coco"]);
    service.wait_until_ready();
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let feeder = machine.inside(move || {
        thread::spawn(move || feed_lines_evenly(LINES, RATE, &AtomicUsize::new(0), &stopped))
    });
    wait_for("numbers to compare with", SOON, || {
        let path = "/debug/history?name=coco_samples_decoded&window=10m";
        let times = json(&service, path)["times"].as_array().map_or(0, Vec::len);
        if times >= READINGS { Ok(()) } else { Err(format!("{times} readings")) }
    });

    let running = program_version(&service, "coco");
    machine.succeed(&["dpkg-deb", "--extract", "/srv/new.deb", "/srv/new"]);
    let wanted = program_version(&service, "/srv/new/usr/bin/coco");
    let [before, after] =
        [[format!("{running}+1-1"), running.clone()], [format!("{running}+3-1"), wanted.clone()]];
    stage(&service, &["check", "/etc/coco/coco.toml"]);
    stage(&service, &["install", "/srv/old.deb", &running]);
    stage(&service, &["install", "/srv/new.deb", &wanted]);
    assert_eq!(versions(&service), before);
    let main = service.main();
    stage(&service, &["canary", &wanted]);
    assert_eq!(versions(&service), after);
    // It is the only router, and has it already: it is judged once more.
    stage(&service, &["promote", &wanted]);
    assert_ne!(service.main(), main);
    stage(&service, &["rollback"]);
    assert_eq!(versions(&service), before);
    assert_eq!(service.show("NRestarts"), "0");
    assert!(!service.exists("/opt/coco/lock"));

    stop.store(true, Ordering::Relaxed);
    let sent = feeder.join().unwrap();
    wait_until("the last lines", SOON, || stores.arrived() >= sent);
    stores.assert_once_each(sent);
    // There and back.
    for ledger in service.handed_over(2).into_iter().chain([service.ledger()]) {
        ledger.assert_balanced();
        assert_eq!((ledger.held(), ledger.shed_in_all()), (0, 0), "{ledger}");
    }
    eprintln!("FIGURE {sent} lines over an upgrade of the package and back by the stages, 0 lost");
    machine.succeed(&["systemctl", "stop", "coco"]);
    service.wait_for_journal(" stopped residual=0");
    assert!(service.get("/livez").is_err(), "it runs on");
}
