//! `deploy/pipeline` under load: its stages do what its page says, each twice, and a bad build does not stay.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use coco_tests::{
    coco::{Coco, binary, faulty_binary, root, targets},
    flood::feed_lines_evenly,
    marks::Marks,
    page::{Kind, blocks},
    port::free_port,
    process::{Signal, folder, program, write_program},
    wait::{SOON, wait_until},
};
use tempfile::TempDir;

/// Lines a second to each of the two routers.
const RATE: f64 = 20_000.0;

/// More than any test sends.
const LINES_MAX: usize = 40_000_000;

/// As the page calls them.
const NAMES: [&str; 2] = ["router-1", "router-2"];

/// No stage may take longer.
const STAGE_MAX: Duration = Duration::from_secs(120);

/// Readings that must be there before something is compared with them.
const READINGS: usize = 30;

/// A router under load.
struct Router {
    name: String,
    coco: Coco,
    stop: Arc<AtomicBool>,
    feeder: Option<JoinHandle<usize>>,
}

/// Two routers, and the machine of the delivery system.
struct Site {
    dir: TempDir,
    routers: Vec<Router>,
    /// Three of them; the configuration has two.
    stores: Marks,
    old: String,
}

impl Site {
    /// Two routers whose present version was installed by the pipeline, with these variables in their
    /// environment, which carry lines for long enough.
    fn start(variables: &[(&str, &str)]) -> Self {
        Self::start_from(binary(), "opt/current/coco", variables)
    }

    /// The same with this file installed, by the program at this place of each router.
    fn start_from(file: &Path, program: &str, variables: &[(&str, &str)]) -> Self {
        let mut site = Self::prepare();
        // The way of a new machine: nothing runs yet.
        for _ in 0..2 {
            site.stage(&["install", file.to_str().unwrap(), &site.old], 0);
        }
        let config = config(&texts(&site.stores.addresses()[..2]));
        let next = Arc::new(AtomicUsize::new(0));
        for name in NAMES {
            let dir = site.dir.path().join(name);
            if program.starts_with("usr/") {
                site.on(name, "cd /opt/coco/current; dpkg --install coco.deb");
            }
            let coco = Coco::start_as(&config, &dir.join(program), |command| {
                command.envs(variables.iter().copied());
            });
            symlink(coco.config_file().parent().unwrap(), dir.join("etc")).unwrap();
            site.routers.push(Router::start(name, coco, &next));
        }
        site.wait_for_readings();
        site
    }

    fn prepare() -> Self {
        for (name, package) in [("jq", "jq"), ("curl", "curl")] {
            program(name, package);
        }
        let dir = folder();
        // What `ssh` is elsewhere: each router has its own /opt/coco, /etc/coco and dpkg.
        let here = dir.path().display();
        let on = format!(
            "#!/bin/bash\n[ ! -e {here}/$1/cut ] || exit 255\n\
             [ ! -e {here}/$1/short ] || exec < <(head -c 100)\ntext=${{2//\\/opt\\/coco/{here}/$1/opt}}\n\
             export ROUTER={here}/$1 PATH={here}/bin:$PATH\n\
             exec bash -c \"${{text//\\/etc\\/coco/{here}/$1/etc}}\"\n"
        );
        write_program(&dir.path().join("on"), &on);
        let dpkg = "#!/bin/sh\nexec /usr/bin/dpkg --root=\"$ROUTER\" --force-script-chrootless \
                    --force-not-root --log=/dev/null \"$@\"\n";
        fs::create_dir(dir.path().join("bin")).unwrap();
        write_program(&dir.path().join("bin/dpkg"), dpkg);
        for name in NAMES {
            let state = dir.path().join(name).join("var/lib/dpkg");
            fs::create_dir_all(state.join("updates")).unwrap();
            fs::create_dir_all(state.join("info")).unwrap();
            fs::write(state.join("status"), "").unwrap();
        }
        let stores = Marks::of_lines(3, LINES_MAX);
        Self { dir, routers: Vec::new(), stores, old: version_of(binary()) }
    }

    /// Runs a text there, as the stages do.
    #[track_caller]
    fn on(&self, name: &str, text: &str) {
        let output = Command::new(self.dir.path().join("on")).args([name, text]).output().unwrap();
        assert!(output.status.success(), "{text}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn wait_for_readings(&self) {
        for router in &self.routers {
            wait_until("numbers to compare with", SOON, || {
                let history =
                    router.coco.get_json("/debug/history?name=coco_samples_decoded&window=10m");
                history["times"].as_array().is_some_and(|times| times.len() >= READINGS)
            });
        }
    }

    fn names(&self) -> String {
        let all = self
            .routers
            .iter()
            .map(|router| format!("{}=http://{}", router.name, router.coco.api()));
        let all: Vec<_> = all.collect();
        if all.is_empty() { "router-1 router-2".to_owned() } else { all.join(" ") }
    }

    /// Runs a stage, and says how long it took; what it has said.
    #[track_caller]
    fn stage(&self, words: &[&str], status: i32) -> String {
        self.stage_with(words, "", status)
    }

    #[track_caller]
    fn stage_with(&self, words: &[&str], verify: &str, status: i32) -> String {
        let path = std::env::var("PATH").unwrap_or_default();
        let since = Instant::now();
        let output = Command::new(root().join("deploy/pipeline").join(words[0]))
            .args(&words[1..])
            .current_dir(self.dir.path())
            .env("PATH", format!("{}:{path}", binary().parent().unwrap().display()))
            .env("COCO", binary())
            .env("COCO_ROUTERS", self.names())
            .env("COCO_RUN", self.dir.path().join("on"))
            .env("COCO_VERIFY_ARGS", verify)
            .env("COCO_VERIFY_SECONDS", "30")
            .stdin(Stdio::null())
            .output()
            .expect("bash starts");
        let taken = since.elapsed();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        eprintln!("STAGE {words:?} {:.1} s\n{said}", taken.as_secs_f64());
        assert_eq!(output.status.code(), Some(status), "{words:?}");
        assert!(taken < STAGE_MAX, "{words:?} took {taken:?}");
        said
    }

    /// Runs the stages of the block of the page that has this line, each twice.
    #[track_caller]
    fn example(&self, page_line: &str, replace: &[(&str, &str)]) {
        let page = fs::read_to_string(root().join("deploy/pipeline/README.md")).unwrap();
        let block = blocks(&page).into_iter().find(|block| block.text.contains(page_line));
        let block = block.unwrap_or_else(|| panic!("no block with {page_line}"));
        assert_eq!(block.kind, Kind::Run);
        let mut lines = block.text.lines();
        let settings = lines.next().unwrap_or_default();
        let (names, more) = settings.split_once(" COCO_VERIFY_ARGS=").unwrap_or((settings, ""));
        assert_eq!(names, "export COCO_ROUTERS=\"router-1 router-2\"");
        for line in lines {
            let mut text = line.strip_prefix("deploy/pipeline/").expect("a stage").to_owned();
            for (theirs, ours) in replace {
                text = text.replace(theirs, ours);
            }
            let words: Vec<_> = text.split(' ').collect();
            self.stage_with(&words, more.trim_matches('"'), 0);
            self.stage_with(&words, more.trim_matches('"'), 0);
        }
    }

    /// Ends the load and the routers; asserts that all lines came once each but for so many that were shed.
    #[track_caller]
    fn close(mut self, shed: u64) {
        let sent: usize = self.routers.iter_mut().map(Router::end_feed).sum();
        let least = sent - usize::try_from(shed).unwrap();
        wait_until("the last lines", SOON, || self.stores.arrived() >= least);
        for router in self.routers {
            router.coco.settle();
            let last = router.coco.stop().ledger;
            assert_eq!(last.shed_in_all(), 0, "{last}");
        }
        eprintln!("{sent} lines sent, {} arrived, {shed} shed", self.stores.arrived());
        if shed == 0 {
            self.stores.assert_once_each(sent);
        }
    }
}

impl Router {
    fn start(name: &str, coco: Coco, next: &Arc<AtomicUsize>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (to, next, stopped) = (coco.listener("line-tcp"), Arc::clone(next), Arc::clone(&stop));
        let feeder = Some(thread::spawn(move || feed_lines_evenly(to, RATE, &next, &stopped)));
        Self { name: name.to_owned(), coco, stop, feeder }
    }

    /// After a hand-over; how many samples the process that has ended has shed.
    #[track_caller]
    fn goes_on(&mut self) -> u64 {
        self.coco.wait_for_upgrade().ledger.shed_in_all()
    }

    #[track_caller]
    fn runs(&self, version: &str) {
        assert_eq!(
            self.coco.get_json("/debug/vars")["process"]["version"],
            version,
            "{}",
            self.name
        );
    }

    /// Ends the load; how many lines it was sent.
    #[track_caller]
    fn end_feed(&mut self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        let feeder = self.feeder.take().expect("it is ended once");
        feeder.join().expect("the feeder ends well")
    }
}

fn texts(addresses: &[SocketAddr]) -> Vec<String> {
    addresses.iter().map(ToString::to_string).collect()
}

fn config(addresses: &[String]) -> String {
    format!(
        "[graphite]\nbind = \"127.0.0.1:0\"\n[measure]\ninterval = \"200ms\"\n\
         [spool]\ndirectory = \"spool\"\nsize = \"10GiB\"\non_change = \"reroute\"\n\
         [tiers.archive]\nprotocol = \"graphite\"\n{}[api]\nbind = \"127.0.0.1:0\"\n",
        targets(addresses)
    )
}

fn version_of(program: &Path) -> String {
    let output = Command::new(program).arg("--version").output().expect("it starts");
    let text = String::from_utf8(output.stdout).unwrap();
    text.trim().strip_prefix("coco ").expect("coco VERSION").to_owned()
}

#[test]
fn a_running_coco_is_upgraded_to_a_new_build_and_back_under_load_and_nothing_is_lost() {
    let mut site = Site::start(&[]);
    let (old, new) = (site.old.clone(), version_of(faulty_binary()));
    assert_ne!(old, new);
    let config = site.routers[0].coco.config_file();
    let replace = [
        ("build/coco", faulty_binary().to_str().unwrap()),
        ("2.1.0", new.as_str()),
        ("coco.toml", config.to_str().unwrap()),
    ];
    site.example("canary 2.1.0", &replace);
    for router in &mut site.routers {
        assert_eq!(router.goes_on(), 0, "shed");
        router.runs(&new);
    }
    site.example("rollback", &[]);
    for router in &mut site.routers {
        assert_eq!(router.goes_on(), 0, "shed");
        router.runs(&old);
    }
    site.close(0);
}

#[test]
fn a_build_that_sheds_is_found_by_the_canary_which_goes_back_by_itself() {
    let mut site = Site::start(&[("COCO_FAULTS", "shed")]);
    let (old, new) = (site.old.clone(), version_of(faulty_binary()));
    site.stage(&["install", faulty_binary().to_str().unwrap(), &new], 0);
    // It says at its start what it is, and shall not be found by that.
    let known = "--expect 'this is a build for tests, with faults'";
    let said = site.stage_with(&["canary", &new], known, 1);
    assert!(
        said.contains("CRITICAL  shed") && said.contains(&format!("router-1 runs {old} again")),
        "{said}"
    );
    // To the new one, and back.
    let shed = [site.routers[0].goes_on(), site.routers[0].goes_on()];
    assert!(shed[0] == 0 && shed[1] > 0, "{shed:?}");
    for router in &site.routers {
        router.runs(&old);
    }
    // Nor does the next stage do it, when it is called all the same: it stops at the first.
    site.stage_with(&["promote", &new], known, 1);
    let again = site.routers[0].goes_on() + site.routers[0].goes_on();
    site.routers[1].runs(&old);
    site.close(shed[1] + again);
}

#[test]
fn what_is_no_new_version_is_refused_before_anything_is_touched() {
    let site = Site::start(&[]);
    let dir = site.dir.path();
    let [silent, other, config] = ["silent", "other", "bad.toml"].map(|name| dir.join(name));
    write_program(&silent, "#!/bin/sh\nexit 3\n");
    // It says that it is good, and does not start.
    write_program(&other, "#!/bin/sh\n[ \"$1\" != --version ] || echo coco 9.0.0\n[ $# -gt 1 ]\n");
    fs::write(&config, "[tiers.x]\nnonsense = 1\n").unwrap();
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    for (words, status, why) in [
        (vec!["check", "/no/such/file"], 78, "/no/such/file"),
        (vec!["check", &text(&config)], 78, "tiers.x.nonsense"),
        (vec!["install", &text(&silent), "9.0.0"], 1, "nothing has changed there"),
        (vec!["install", &text(&other), "9.0.1"], 1, "it is coco 9.0.0"),
        (vec!["install", &text(&other), &site.old], 1, "another file"),
        (vec!["install", &text(&other), "../x"], 2, "is no version"),
        (vec!["install", &text(&other), "9.0.0", "router-3"], 2, "router-3 is not in"),
        (vec!["install", &text(&other), "9.0.0"], 0, "has 9.0.0 now"),
        (vec!["canary"], 2, "usage: canary"),
        (vec!["canary", "8.0.0"], 2, "call install first"),
        (vec!["canary", "9.0.0"], 1, "the new process was not ready"),
        (vec!["rollback"], 0, "stays so"),
        (vec!["rollback", "router-3"], 2, "router-3 is not in"),
        (vec!["rollback", "8.0.0"], 2, "is no version that a router has"),
        (vec!["configure", &text(&config)], 78, "tiers.x.nonsense"),
    ] {
        let said = site.stage(&words, status);
        assert!(said.contains(why), "{words:?}: {said}");
    }
    let said = site.stage_with(&["canary", "9.0.0"], "--expect 'half", 2);
    assert!(said.contains("COCO_VERIFY_ARGS"), "{said}");
    for router in &site.routers {
        router.runs(&site.old);
    }
    site.close(0);
}

#[test]
fn a_storage_node_is_added_under_load_by_the_stages_of_the_page() {
    let site = Site::start(&[]);
    let next = site.dir.path().join("next.toml");
    fs::write(&next, config(&texts(site.stores.addresses()))).unwrap();
    site.stage(&["check", next.to_str().unwrap()], 3);
    site.example("configure next.toml", &[("next.toml", next.to_str().unwrap())]);
    for router in &site.routers {
        let tiers = router.coco.get_json("/tiers");
        assert_eq!(tiers[0]["targets"].as_array().map(Vec::len), Some(3), "{tiers}");
    }
    // One that a reload refuses, and one that is taken and whose store does not answer.
    let good = fs::read_to_string(&next).unwrap();
    let refused = good.replace("10GiB", "20GiB");
    let mut stores = texts(site.stores.addresses());
    stores.push(format!("127.0.0.1:{}", free_port()));
    // A file that does not come whole is not put in force, and nothing is put where nobody could read it.
    let words = ["configure", next.to_str().unwrap()];
    fs::write(&next, &refused).unwrap();
    let short = site.dir.path().join("router-1/short");
    fs::write(&short, "").unwrap();
    let said = site.stage(&words, 1);
    fs::remove_file(&short).unwrap();
    assert!(said.contains("cannot be put there"), "{said}");
    site.routers[0].coco.signal(Signal::SIGSTOP);
    let said = site.stage(&words, 1);
    site.routers[0].coco.signal(Signal::SIGCONT);
    assert!(said.contains("nobody answers at http://127.0.0.1:"), "{said}");
    // It has caught up before the next stage looks at it.
    site.routers[0].coco.get("/livez");
    let worse = config(&stores);
    for (text, why) in [(&refused, "takes a restart"), (&worse, "`cannot connect")] {
        fs::write(&next, text).unwrap();
        let said = site.stage_with(&["configure", next.to_str().unwrap()], "--min-change 50%", 1);
        assert!(said.contains(why) && said.contains("has its old configuration again"), "{said}");
        for router in &site.routers {
            let tiers = router.coco.get_json("/tiers");
            assert_eq!(tiers[0]["targets"].as_array().map(Vec::len), Some(3), "{tiers}");
        }
    }
    // A stage that was killed before the reload: the next one asks too, and knows what was before.
    let etc = site.dir.path().join("router-1/etc");
    let [file, before] = ["coco.toml", "coco.toml.before"].map(|name| etc.join(name));
    fs::rename(&file, &before).unwrap();
    fs::write(&file, &worse).unwrap();
    let said = site.stage_with(&words, "--min-change 50%", 1);
    assert!(said.contains("CRITICAL") && said.contains("configuration again"), "{said}");
    assert_eq!(fs::read_to_string(&file).unwrap(), good);
    site.close(0);
}

#[test]
fn a_router_that_cannot_be_reached_is_told_and_keeps_nobody_on_a_bad_version() {
    let mut site = Site::start(&[]);
    let (old, new) = (site.old.clone(), version_of(faulty_binary()));
    site.stage(&["install", faulty_binary().to_str().unwrap(), &new], 0);
    site.stage(&["canary", &new, "router-2"], 0);
    assert_eq!(site.routers[1].goes_on(), 0, "shed");
    // Nor is it touched while another stage works on it, which leaves nothing behind.
    let lock = site.dir.path().join("router-1/opt/lock");
    fs::create_dir(&lock).unwrap();
    let said = site.stage(&["canary", &new], 1);
    assert!(said.contains("another stage is at work there"), "{said}");
    fs::remove_dir(&lock).unwrap();
    assert!(!site.dir.path().join("router-2/opt/lock").exists());
    let cut = site.dir.path().join("router-1/cut");
    fs::write(&cut, "").unwrap();
    let config = site.routers[0].coco.config_file();
    let (config, program) = (config.to_str().unwrap(), faulty_binary().to_str().unwrap());
    for (words, status) in [
        (vec!["check", config], 1),
        (vec!["install", program, &new], 1),
        (vec!["canary", &new], 1),
        (vec!["promote", &new], 1),
        (vec!["configure", config], 1),
        (vec!["rollback", &old], 4),
    ] {
        let said = site.stage(&words, status);
        assert!(said.contains("router-1 cannot be reached"), "{words:?}: {said}");
    }
    assert_eq!(site.routers[1].goes_on(), 0, "shed");
    for router in &site.routers {
        router.runs(&old);
    }
    site.close(0);
}

#[test]
fn a_version_that_hangs_is_gone_back_from_by_a_start_of_the_one_before() {
    let mut site = Site::start(&[]);
    let (old, new) = (site.old.clone(), version_of(faulty_binary()));
    site.stage(&["install", faulty_binary().to_str().unwrap(), &new, "router-1"], 0);
    site.stage(&["canary", &new], 0);
    assert_eq!(site.routers[0].goes_on(), 0, "shed");
    // A restart that loses nothing: what it starts is what systemd would, the program behind the link.
    let pid = site.routers[0].coco.id();
    let restart =
        format!("#!/bin/sh\nkill -CONT {pid}; kill -USR2 {pid}; echo > \"$ROUTER/restarted\"\n");
    write_program(&site.dir.path().join("bin/systemctl"), &restart);
    site.routers[0].coco.signal(Signal::SIGSTOP);
    let said = site.stage(&["rollback", "router-1"], 0);
    assert!(said.contains("is started anew"), "{said}");
    assert!(site.dir.path().join("router-1/restarted").exists());
    assert_eq!(site.routers[0].goes_on(), 0, "shed");
    site.routers[0].runs(&old);
    site.close(0);
}

/// A package whose maintainer script hands over, as that of Coco does, to the process of a file.
fn package(dir: &Path, program: &Path) -> PathBuf {
    let (version, tree) = (version_of(program), dir.join("tree"));
    fs::create_dir_all(tree.join("DEBIAN")).unwrap();
    fs::create_dir_all(tree.join("usr/bin")).unwrap();
    fs::copy(program, tree.join("usr/bin/coco")).unwrap();
    let control = format!(
        "Package: coco\nVersion: {version}\nArchitecture: all\nMaintainer: nobody\nDescription: Coco\n"
    );
    fs::write(tree.join("DEBIAN/control"), control).unwrap();
    let script = "#!/bin/sh\n[ ! -f \"$ROUTER/pid\" ] || kill -USR2 \"$(cat \"$ROUTER/pid\")\"\n";
    write_program(&tree.join("DEBIAN/postinst"), script);
    let file = dir.join(format!("coco_{version}_all.deb"));
    let mut build = Command::new("dpkg-deb");
    let built =
        build.args(["-Znone", "--root-owner-group", "--build"]).arg(&tree).arg(&file).output();
    let built = built.expect("dpkg-deb starts");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    fs::remove_dir_all(tree).unwrap();
    file
}

#[test]
fn a_package_is_installed_by_dpkg_which_hands_over_and_goes_back_the_same_way() {
    let files = folder();
    let [old, new] = [binary(), faulty_binary()].map(|program| package(files.path(), program));
    let mut site = Site::start_from(&old, "usr/bin/coco", &[]);
    let version = version_of(faulty_binary());
    let tell = |router: &Router, dir: &Path| {
        fs::write(dir.join(&router.name).join("pid"), router.coco.id().to_string()).unwrap();
    };
    tell(&site.routers[0], site.dir.path());
    site.stage(&["install", new.to_str().unwrap(), &version, "router-1"], 0);
    site.stage(&["canary", &version], 0);
    assert_eq!(site.routers[0].goes_on(), 0, "shed");
    site.routers[0].runs(&version);
    tell(&site.routers[0], site.dir.path());
    site.stage(&["rollback"], 0);
    assert_eq!(site.routers[0].goes_on(), 0, "shed");
    site.routers[0].runs(&site.old);
    site.close(0);
}

#[test]
fn the_scripts_are_clean_in_the_eyes_of_shellcheck() {
    let folder = root().join("deploy/pipeline");
    let mut scripts = Vec::new();
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        if text.starts_with("#!/bin/bash\n") {
            assert!(text.contains("\nset -euo pipefail\n"), "{}", path.display());
            scripts.push(path);
        }
    }
    assert_eq!(scripts.len(), 6);
    let output = Command::new(program("shellcheck", "shellcheck")).arg("-x").args(scripts).output();
    let output = output.expect("shellcheck starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
