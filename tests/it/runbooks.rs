//! Each page of `docs/runbooks/` does what it says, on two routers that carry samples meanwhile.

use std::{
    collections::VecDeque,
    fs,
    net::SocketAddr,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use coco_tests::{
    coco::{Coco, Stopped, binary, root},
    feed::Feed,
    package::package,
    page::{Block, Kind, blocks},
    port::free_port,
    process::{folder, program, write_program},
    service::Service,
    sink::LineSink,
    wait::{SOON, wait_for, wait_until},
};
use tempfile::TempDir;

/// Blocks of `text`, which are not run: the page, and all of the block. Here the tests do it.
const NOT_RUN: [(&str, &str); 2] =
    [("drain-a-router.md", "systemctl start coco\n"), ("spool-fills.md", "systemctl start coco\n")];

/// How long a block may take, and how long one that is to be repeated.
const LIMIT: Duration = Duration::from_secs(60);

/// Lines a second that each router is fed.
const RATE: u64 = 1_000;

/// A router, and who sends to it.
struct Router {
    coco: Coco,
    feed: Option<Feed>,
}

impl Router {
    fn start(config: &str) -> Self {
        let coco = Coco::start(config);
        let feed = Some(Feed::start(coco.listener("line-tcp"), RATE));
        Self { coco, feed }
    }

    /// What is `/etc/coco` there.
    fn etc(&self) -> PathBuf {
        self.coco.config_file().parent().expect("it is in a folder").to_owned()
    }
}

/// Two routers and three stores, of which the configuration has two; and a page that is worked through.
struct Book {
    page: String,
    blocks: VecDeque<Block>,
    dir: TempDir,
    routers: Vec<Router>,
    ports: [u16; 3],
    stores: [Option<LineSink>; 3],
}

impl Book {
    /// Opens a page. The third store does not run yet.
    fn open(page: &str) -> Self {
        let text = fs::read_to_string(root().join("docs/runbooks").join(page)).unwrap();
        let dir = folder();
        prepare_programs(dir.path());
        let ports = [free_port(), free_port(), free_port()];
        let stores = [Some(LineSink::start_on(ports[0])), Some(LineSink::start_on(ports[1])), None];
        let routers = ["1", "2"].map(|router| {
            let directory = dir.path().join(format!("spool-{router}"));
            Router::start(&config(&ports, &directory))
        });
        let (page, blocks) = (page.to_owned(), blocks(&text));
        Self { page, blocks, dir, routers: routers.into(), ports, stores }
    }

    fn stop_store(&mut self, store: usize) {
        self.stores[store] = None;
    }

    fn start_store(&mut self, store: usize) {
        self.stores[store] = Some(LineSink::start_on(self.ports[store]));
    }

    /// Works through the next block; what it has printed.
    #[track_caller]
    fn next(&mut self) -> String {
        let block = self.blocks.pop_front().expect("the page has one more block");
        match block.kind {
            Kind::Run => self.run(0, &block.text).unwrap_or_else(|why| panic!("{why}")),
            Kind::Each => {
                let each = (0..self.routers.len()).map(|router| {
                    self.run(router, &block.text).unwrap_or_else(|why| panic!("{why}"))
                });
                each.collect()
            }
            Kind::Until => wait_for(&block.text, LIMIT, || self.run(0, &block.text)),
            Kind::Text => {
                let known = NOT_RUN.contains(&(self.page.as_str(), block.text.as_str()));
                assert!(known, "{} is not run, and not in the list:\n{}", self.page, block.text);
                self.start_again();
                String::new()
            }
        }
    }

    /// Works through so many blocks.
    #[track_caller]
    fn next_blocks(&mut self, count: usize) -> String {
        (0..count).map(|_| self.next()).collect()
    }

    /// Copies the next configuration to the second router, which has a spool of its own.
    fn distribute(&self) {
        let next = |router: usize| self.routers[router].etc().join("next.toml");
        let text = fs::read_to_string(next(0)).unwrap();
        fs::write(next(1), text.replace("spool-1", "spool-2")).unwrap();
    }

    /// Runs a block on one of the routers.
    fn run(&self, at: usize, block: &str) -> Result<String, String> {
        fs::write(self.dir.path().join("journal"), self.routers[at].coco.log()).unwrap();
        let path = std::env::var("PATH").unwrap_or_default();
        let output = Command::new("timeout")
            .args(["60", "bash", "-euo", "pipefail", "-c", &self.here(at, block)])
            .env("PATH", format!("{}:{path}", self.dir.path().join("bin").display()))
            .env("MAINPID", self.routers[at].coco.id().to_string())
            .env("JOURNAL", self.dir.path().join("journal"))
            .stdin(Stdio::null())
            .output()
            .expect("bash starts");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        match output.status.success() {
            true => Ok(said),
            false => {
                let errors = String::from_utf8_lossy(&output.stderr);
                Err(format!("{}: {}: {said}{errors}\n{block}", self.page, output.status))
            }
        }
    }

    /// A block with the paths and addresses of this test.
    fn here(&self, at: usize, block: &str) -> String {
        let api = |router: usize| self.routers[router].coco.api().to_string();
        let spool = self.dir.path().join(format!("spool-{}", at + 1));
        let path = |path: &Path| path.to_str().expect("it is text").to_owned();
        let mut text = block.replace("127.0.0.1:9090", &api(at));
        text = text.replace("/tmp/", &format!("{}/", path(self.dir.path())));
        text = text.replace("/etc/coco/", &format!("{}/", path(&self.routers[at].etc())));
        text = text.replace("/var/lib/coco/spool", &path(&spool));
        for router in 0..self.routers.len() {
            let name = format!("router-{}", router + 1);
            text = text.replace(&format!("{name}:9090"), &api(router));
            text = text.replace(&format!("--host {name}"), &format!("--host {}", api(router)));
        }
        for (n, port) in self.ports.iter().enumerate() {
            let store = n + 1;
            for (form, ours) in [
                (format!("10.0.1.{store}:2003"), format!("127.0.0.1:{port}")),
                (format!("10.0.1.{store} 2003"), format!("127.0.0.1 {port}")),
                (format!(r"10\.0\.1\.{store}:2003"), format!(r"127\.0\.0\.1:{port}")),
            ] {
                text = text.replace(&form, &ours);
            }
        }
        for left in ["router-", "10.0.1.", "/etc/", "/var/"] {
            assert!(!text.contains(left), "{}: {left} is not of this test:\n{text}", self.page);
        }
        text
    }

    /// The first router, which was stopped, with its file as it is now.
    #[track_caller]
    fn start_again(&mut self) {
        let old = self.routers.remove(0);
        let config = fs::read_to_string(old.coco.config_file()).unwrap();
        drop(old.feed);
        old.coco.wait();
        self.routers.insert(0, Router::start(&config));
    }

    /// Asserts that nothing of the page is left, and ends all; what the routers say at last.
    #[track_caller]
    fn close(mut self) -> Vec<Stopped> {
        assert!(self.blocks.is_empty(), "{}: not run: {:?}", self.page, self.blocks);
        self.routers.iter_mut().for_each(|router| drop(router.feed.take()));
        self.routers.into_iter().map(|router| router.coco.stop()).collect()
    }

    /// The same, and nothing was shed.
    #[track_caller]
    fn close_without_loss(self) {
        for stopped in self.close() {
            let ledger = stopped.ledger;
            assert_eq!((ledger.shed_in_all(), ledger.of_all("sent") > 0), (0, true), "{ledger}");
        }
    }

    fn store(&self, store: usize) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.ports[store]))
    }
}

/// What every page begins from.
fn config(ports: &[u16; 3], spool: &Path) -> String {
    let [a, b, _] = ports;
    format!(
        "[graphite]\nbind = \"127.0.0.1:0\"\n\
         [tiers.archive]\nprotocol = \"graphite\"\ntargets = [\n  \
         {{ address = \"127.0.0.1:{a}\", id = \"store-a\" }},\n  \
         {{ address = \"127.0.0.1:{b}\", id = \"store-b\" }},\n]\n\
         [spool]\ndirectory = {spool:?}\nsize = \"10GiB\"\nreplay_rate = 3\n\
         [limits]\ndrain_delay = \"300ms\"\n[api]\nbind = \"127.0.0.1:0\"\n"
    )
}

/// Programs that find the router of the test: the one under test, and stand-ins of systemd's two and of `runuser`, which know
/// one service.
fn prepare_programs(dir: &Path) {
    const SYSTEMCTL: &str = r#"#!/bin/sh
case "$*" in
  "stop coco.socket coco")
    kill -TERM "$MAINPID"
    while s=$(sed 's/.*) //; s/ .*//' "/proc/$MAINPID/stat" 2> /dev/null) && [ "$s" != Z ]; do sleep 0.05; done ;;
  "show --value --property InvocationID coco") echo the-last ;;
  "kill --kill-whom=main --signal=USR2 coco") kill -USR2 "$MAINPID" ;;
  *) echo "systemctl: $*?" >&2; exit 1 ;;
esac
"#;
    const JOURNALCTL: &str = r#"#!/bin/sh
case "$*" in
  "-u coco" | "_SYSTEMD_INVOCATION_ID=the-last") cat "$JOURNAL" ;;
  *) echo "journalctl: $*?" >&2; exit 1 ;;
esac
"#;
    // The spool of the test is its own.
    const RUNUSER: &str = "#!/bin/sh\n[ \"$1 $2 $3\" = '-u coco --' ] && shift 3 && exec \"$@\"\n";
    let bin = dir.join("bin");
    fs::create_dir(&bin).unwrap();
    symlink(fs::canonicalize(binary()).unwrap(), bin.join("coco")).unwrap();
    for (name, text) in [("systemctl", SYSTEMCTL), ("journalctl", JOURNALCTL), ("runuser", RUNUSER)]
    {
        write_program(&bin.join(name), text);
    }
    for (name, package) in [("jq", "jq"), ("curl", "curl"), ("nc", "netcat-openbsd")] {
        program(name, package);
    }
}

#[test]
fn the_index_names_every_page_and_its_looks_work() {
    let mut book = Book::open("README.md");
    let well = book.next();
    assert!(well.contains("2 routers place alike in archive"), "{well}");
    let states = wait_for("both to be up", SOON, || {
        let block = &book.blocks[0].text;
        book.run(0, block).and_then(|said| match said.matches("\tup\t").count() {
            2 => Ok(said),
            _ => Err(said),
        })
    });
    assert!(states.contains(&format!("store-a\t{}\tup\t", book.store(0))), "{states}");
    book.next();
    assert!(book.next().contains("\"residual\": 0"));
    let judged = book.next();
    assert!(judged.contains("UNKNOWN"), "a history of some seconds: {judged}");
    book.close_without_loss();

    let index = fs::read_to_string(root().join("docs/runbooks/README.md")).unwrap();
    let mut pages = 0;
    for entry in fs::read_dir(root().join("docs/runbooks")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(name == "README.md" || index.contains(&format!("]({name})")), "{name}");
        let text = fs::read_to_string(root().join("docs/runbooks").join(&name)).unwrap();
        assert!(text.lines().count() <= 75, "{name} is no page any more");
        pages += 1;
    }
    assert_eq!(pages, 8);
}

#[test]
fn a_storage_node_is_added_and_taken_back_by_its_page() {
    let mut book = Book::open("grow.md");
    book.start_store(2);
    book.next_blocks(2);
    let plan = book.next();
    assert!(plan.contains("+ store-c") && plan.contains("of 50 names move"), "{plan}");
    book.distribute();
    book.next_blocks(3);
    assert!(book.stores[2].as_ref().unwrap().count() > 0);
    let back = book.next();
    assert_eq!(back.matches("\"changed\":true").count(), 2, "{back}");
    book.close_without_loss();
}

#[test]
fn a_storage_node_is_taken_out_by_its_page() {
    let mut book = Book::open("shrink.md");
    book.next_blocks(2);
    book.distribute();
    book.next_blocks(3);
    assert_eq!(book.next().split_whitespace().collect::<Vec<_>>(), ["0", "0"], "retired, in doubt");
    book.close_without_loss();
}

#[test]
fn a_dead_storage_node_is_replaced_by_its_page_and_the_new_one_gets_all() {
    let mut book = Book::open("replace-a-node.md");
    book.stop_store(1);
    book.routers[0].coco.wait_for_ledger("some to wait", SOON, |ledger| {
        if ledger.of_all("spooled") > 0 { Ok(()) } else { Err("nothing".to_owned()) }
    });
    book.start_store(2);
    book.next_blocks(2);
    let plan = book.next();
    assert!(plan.contains("moves 0.00 %"), "{plan}");
    book.distribute();
    book.next_blocks(3);
    book.close_without_loss();
}

#[test]
fn a_router_is_drained_and_comes_back_by_its_page() {
    let mut book = Book::open("drain-a-router.md");
    book.next();
    let clients = book.next();
    assert!(clients.contains("line-tcp") && clients.contains("coco_connections 1"), "{clients}");
    book.next_blocks(5);
    book.close();
}

#[test]
fn a_target_that_is_down_comes_back_by_its_page() {
    let mut book = Book::open("target-down.md");
    book.stop_store(1);
    wait_for("the first look to tell", SOON, || {
        let said = book.run(0, &book.blocks[0].text)?;
        let waits = said.trim_end().rsplit('\t').next() != Some("0");
        if said.starts_with("store-b\t") && waits { Ok(()) } else { Err(said) }
    });
    book.next();
    let there = book.next();
    assert!(there.contains("nobody listens there") && there.contains("store-b\t"), "{there}");
    let held = book.next();
    assert!(held.contains("\tarchive\tstore-b\t"), "{held}");
    book.start_store(1);
    book.next_blocks(3);
    // One more tier comes before its targets.
    let file = fs::read_to_string(book.routers[0].coco.config_file()).unwrap();
    let late = "\n[tiers.late]\nprotocol = \"graphite\"\ntargets = []\n";
    book.routers[0].coco.reload(&format!("{file}{late}"));
    let shed = wait_for("some to be shed", SOON, || {
        let said = book.run(0, &book.blocks[0].text)?;
        if said.is_empty() { Err(said) } else { Ok(said) }
    });
    assert!(shed.starts_with("late\t"), "{shed}");
    book.next();
    book.start_store(2);
    let late = late.replace("[]", &format!("[\"{}\"]", book.store(2)));
    book.routers[0].coco.rewrite(&format!("{file}{late}"));
    assert!(book.next().contains("\"ok\":true"));
    book.close_without_loss();
}

#[test]
fn a_spool_that_fills_gets_room_and_is_emptied_by_its_page() {
    let mut book = Book::open("spool-fills.md");
    book.stop_store(1);
    book.routers[0].coco.wait_for_ledger("some to wait", SOON, |ledger| {
        if ledger.of_all("spooled") > 100 { Ok(()) } else { Err("little".to_owned()) }
    });
    let held = book.next();
    assert!(held.contains("store-b"), "{held}");
    book.next_blocks(2);
    let old = book.routers[0].coco.wait_for_upgrade();
    assert_eq!(old.ledger.shed_in_all(), 0, "{}", old.ledger);
    let changes = book.next();
    assert!(changes.contains("replay_rate"), "{changes}");
    let dropped = book.next();
    assert_eq!(dropped.lines().filter(|line| line.contains(" 1700000000")).count(), 5, "{dropped}");
    book.next();
    book.start_store(1);
    book.next_blocks(2);
    book.close();
}

#[test]
fn digests_that_disagree_are_made_one_by_their_page() {
    let mut book = Book::open("digests-disagree.md");
    book.start_store(2);
    let right = config(&book.ports, &book.dir.path().join("spool-2"));
    let right = right.replace(
        "\n]\n",
        &format!("\n  {{ address = \"{}\", id = \"store-c\" }},\n]\n", book.store(2)),
    );
    book.routers[1].coco.reload(&right);
    // The other one was told too, but its file came broken.
    let (file, next) =
        (book.routers[0].coco.config_file(), book.routers[0].etc().join("next.toml"));
    let wrong = fs::read_to_string(&file).unwrap();
    fs::write(&next, right.replace("spool-2", "spool-1")).unwrap();
    fs::write(&file, format!("{wrong}nonsense = 1\n")).unwrap();
    assert_eq!(book.routers[0].coco.ask_to_reload().status, 422);
    fs::write(&file, wrong).unwrap();
    let digests = book.next();
    let digests: Vec<_> = digests.lines().map(|line| line.split('\t').nth(1)).collect();
    assert_ne!(digests[0], digests[1]);
    book.next();
    let why = book.next();
    assert!(why.contains("nonsense"), "{why}");
    let misplaced = book.next();
    assert!(misplaced.contains("names move"), "{misplaced}");
    book.next_blocks(2);
    book.close_without_loss();
}

#[test]
fn what_the_pages_ask_of_systemd_works_on_a_machine_that_boots() {
    let service = Service::new(&[("coco", &package(Some(1)))]);
    service.install("coco");
    service.wait_until_ready();
    let main = service.main();
    // As the page has it: its addresses are those of the package's own configuration.
    let run = |page: &str, words: &str| {
        let text = fs::read_to_string(root().join("docs/runbooks").join(page)).unwrap();
        let block = blocks(&text).into_iter().find(|block| block.text.contains(words)).unwrap();
        let limit = if block.kind == Kind::Until { LIMIT } else { Duration::ZERO };
        wait_for(&block.text, limit, || {
            let output = service.machine.run(&["bash", "-euo", "pipefail", "-c", &block.text]);
            let said =
                String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            if output.status.success() { Ok(said) } else { Err(said) }
        })
    };
    run("spool-fills.md", "--signal=USR2");
    run("spool-fills.md", "coco_spool_bytes_max");
    wait_until("the new process to be the main one", SOON, || service.main() != main);
    run("target-down.md", "coco spool");
    run("drain-a-router.md", "systemctl stop");
    assert_eq!(service.show("ActiveState"), "inactive", "{}", service.journal());
    for words in [" stopped residual=0 ", "coco spool", "systemctl start"] {
        run("drain-a-router.md", words);
    }
    service.wait_until_ready();
    assert_eq!(service.show("NRestarts"), "0");
}

#[test]
fn each_alert_is_named_by_the_page_that_it_names() {
    let rules = fs::read_to_string(root().join("deploy/prometheus/coco.rules.yml")).unwrap();
    let (mut alert, mut count) = ("", 0);
    for line in rules.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix("- alert: ") {
            alert = name;
        } else if let Some(page) = line.strip_prefix("runbook: ") {
            let text = fs::read_to_string(root().join(page)).unwrap();
            assert!(text.contains(&format!("`{alert}`")), "{page} does not name {alert}");
            count += 1;
        }
    }
    assert!(count > 10, "{count} only");
}
