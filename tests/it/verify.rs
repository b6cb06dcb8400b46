use std::{
    fs,
    io::Write,
    net::TcpStream,
    sync::Barrier,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use coco_tests::{
    coco::{Coco, faulty_binary, run, targets},
    fake::{Manner, ask_each, useless},
    feed::Feed,
    port::free_port,
    process::{Signal, folder},
    sink::LineSink,
    wait::{SOON, wait_for},
};
use serde_json::{Value, json};

/// Longer than a window takes to fill and to change, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// Processes of `coco verify` at the same moment.
const VERIFIERS: usize = 5;

/// What every question needs less than.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);

/// A Coco with every listener that records its numbers five times a second.
fn config(addresses: &[String]) -> String {
    format!(
        "[listen]\nbind = \"127.0.0.1:0\"\n\
         [graphite]\nbind = \"127.0.0.1:0\"\npickle = \"127.0.0.1:0\"\n\
         [measure]\ninterval = \"200ms\"\n[limits]\ndrain_timeout = \"1s\"\n\
         [tiers.carbon]\nprotocol = \"graphite\"\n{}\
         [tiers.memory]\nprotocol = \"embedded\"\ntargets = [\"x\", \"y\"]\n",
        targets(addresses)
    )
}

/// Two storage nodes.
struct Nodes([LineSink; 2]);

impl Nodes {
    fn start() -> Self {
        Self([LineSink::start(), LineSink::start()])
    }

    fn addresses(&self) -> [String; 2] {
        self.0.each_ref().map(|sink| sink.address().to_string())
    }
}

/// Exit status and output.
#[derive(Debug, Clone)]
struct Said {
    status: i32,
    out: String,
    /// The same in one line, however it was broken.
    text: String,
}

impl Said {
    fn of(arguments: &[&str]) -> Self {
        let started_at = Instant::now();
        let output = run(&[&["verify"], arguments].concat(), b"");
        assert!(started_at.elapsed() < ANSWERED_WITHIN, "{:?}", started_at.elapsed());
        let status = output.status.code().expect("an exit status, and no signal");
        let out = String::from_utf8(output.stdout).unwrap();
        let text = out.split_whitespace().collect::<Vec<_>>().join(" ");
        Self { status, out, text }
    }

    /// Says so until it does.
    #[track_caller]
    fn wait_for(status: i32, text: &str, arguments: &[&str]) -> Self {
        wait_for(&format!("{status} and {text:?}"), PATIENCE, || {
            let said = Self::of(arguments);
            let is_it = said.status == status && said.text.contains(text);
            if is_it { Ok(said) } else { Err(format!("{}: {}", said.status, said.out)) }
        })
    }

    /// The first line blames this question, and only what is bad is blamed.
    #[track_caller]
    fn blames(&self, grade: &str, question: &str) {
        let first = self.out.lines().next().unwrap_or_default();
        assert!(first.starts_with(&format!("{grade}: ")), "{}", self.out);
        assert!(first.contains(question), "{question} is not blamed in {}", self.out);
        let last = self.out.lines().last().unwrap_or_default();
        assert!(last.starts_with(&format!("{grade}: ")), "{}", self.out);
    }
}

const RUNNING: &str = "question 1, is it running";
const QUERY: &str = "question 2, does a simple query work";
const LOG: &str = "question 3, are there bad log messages";
const DEVIATION: &str = "question 4, do the metrics deviate";

/// Fifty rates.
const WINDOW: &str = "--window=10s";

fn url(coco: &Coco) -> String {
    format!("http://{}", coco.api())
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

#[test]
fn a_healthy_pair_under_load_is_good_and_what_changes_is_found() {
    let nodes = Nodes::start();
    let file = config(&nodes.addresses());
    let pair = [Coco::start(&file), Coco::start(&file)];
    let feeds = pair.each_ref().map(|coco| Feed::start(coco.listener("line-tcp"), 2_000));
    let urls = pair.each_ref().map(url);
    let [one, other] = urls.each_ref().map(String::as_str);

    let early = Said::of(&[one, other]);
    assert_eq!(early.status, 3, "{}", early.out);
    early.blames("UNKNOWN", DEVIATION);
    assert!(early.text.contains("history too short") && early.text.contains("ask again in "));
    for (grade, status) in [("ok", 0), ("warning", 1), ("critical", 2)] {
        assert_eq!(Said::of(&[one, "--unknown-as", grade]).status, status);
    }

    let file = pair[0].config_file();
    let file = file.to_str().unwrap();
    let version = pair[0].get_json("/debug/vars")["process"]["version"].clone();
    let version = version.as_str().unwrap();
    let all = [one, other, WINDOW, "--config", file, "--expect-version", version];
    let good = Said::wait_for(0, "OK: 2 routers, ", &all);
    for text in ["2 routers place alike in carbon, memory", "canary pickle ", "residual 0"] {
        assert!(good.text.contains(text), "{text}: {}", good.out);
    }
    assert!(!good.out.contains('\u{1b}') && good.out.lines().nth(1) == Some(""), "{}", good.out);
    let is_narrow = |line: &str| line.chars().count() <= 100;
    assert!(good.out.lines().skip(1).all(is_narrow), "{}", good.out);
    // As much as it says that it takes.
    Said::wait_for(0, "OK: 2 routers, ", &[one, other, "--window=8s"]);
    let told = Said::wait_for(0, "", &[&all[..], &["--json"]].concat());
    let told: Value = serde_json::from_str(&told.out).unwrap();
    let ids: Vec<_> = pair.iter().map(|coco| json!(coco.id())).collect();
    assert_eq!([0, 1].map(|at| &told["processes"][at]["pid"]), [&ids[0], &ids[1]], "{told}");
    assert_eq!((&told["grade"], &told["exit_status"]), (&json!("OK"), &json!(0)));
    let asked: Vec<_> = told["questions"].as_array().unwrap().iter().map(|q| &q["grade"]).collect();
    assert_eq!(asked, [&json!("OK"); 4], "{told}");

    let old = Said::wait_for(2, "another version", &[one, WINDOW, "--expect-version", "1.0.1"]);
    old.blames("CRITICAL", RUNNING);

    let moment = now();
    feeds[1].set(1_000);
    let since = moment.to_string();
    let halved = Said::wait_for(2, " fell ", &[one, other, WINDOW, "--since", &since]);
    halved.blames("CRITICAL", DEVIATION);
    assert!(halved.out.contains(&format!("CRITICAL  {}", pair[1].api())), "{}", halved.out);
    assert!(!halved.out.contains(&format!("CRITICAL  {}", pair[0].api())), "{}", halved.out);

    drop(feeds);
    for coco in pair {
        coco.settle();
        coco.stop();
    }
}

#[test]
fn a_target_that_refuses_is_named() {
    let (node, gone) = (LineSink::start(), LineSink::start());
    let addresses = [node.address().to_string(), gone.address().to_string()];
    // One of two that owns the canary.
    let coco = Coco::start(&config(&addresses));
    let (coco, owner) = match coco.owner("carbon", b"coco.canary.verify") {
        owner if owner == addresses[1] => (coco, owner),
        _ => {
            coco.stop();
            let only = addresses[1].clone();
            (Coco::start(&config(std::slice::from_ref(&only))), only)
        }
    };
    drop(gone);
    let said = Said::wait_for(2, "takes no connection", &[&url(&coco), WINDOW]);
    said.blames("CRITICAL", QUERY);
    assert!(said.text.contains("cannot connect"), "{}", said.out);
    for what in ["does not take it", "takes no connection; what falls to it is held"] {
        assert!(said.text.contains(&format!("carbon: {owner} {what}")), "{}", said.out);
    }
    coco.stop();
}

#[test]
fn rings_that_differ_and_a_listener_that_is_not_bound_are_named() {
    let nodes = Nodes::start();
    let [first, second] = nodes.addresses();
    let both = Coco::start(&config(&[first.clone(), second]));
    let twice = [url(&both), url(&both).replace("127.0.0.1", "localhost")];
    let said = Said::of(&[&twice[0], &twice[1]]);
    assert!(said.status == 3 && said.text.contains("are one router: name it once"), "{}", said.out);
    assert!(!said.text.contains("2 routers place alike"), "{}", said.out);
    let single = Coco::start(&config(&[first]));
    let said = Said::wait_for(2, "tier carbon differs: ", &[&url(&both), &url(&single)]);
    said.blames("CRITICAL", QUERY);
    for coco in [&both, &single] {
        assert!(said.text.contains(&format!(" at {}", coco.api())), "{}", said.out);
    }
    let file = both.config_file();
    let said =
        Said::wait_for(2, "tier carbon", &[&url(&single), "--config", file.to_str().unwrap()]);
    said.blames("CRITICAL", RUNNING);

    let text = fs::read_to_string(&file).unwrap();
    let port = free_port();
    let more = text.replace("pickle = \"127.0.0.1:0\"", &format!("pickle = \"127.0.0.1:{port}\""));
    let folder = folder();
    let path = folder.path().join("more.toml");
    fs::write(&path, more).unwrap();
    let said = Said::of(&[&url(&both), "--config", path.to_str().unwrap()]);
    said.blames("CRITICAL", RUNNING);
    assert!(
        said.status == 2 && said.text.contains(&format!("pickle 127.0.0.1:{port} is not bound"))
    );
    both.stop();
    single.stop();
}

#[test]
fn draining_is_named() {
    let node = LineSink::start();
    let file = config(&[node.address().to_string()])
        .replace("[limits]\n", "[limits]\ndrain_delay = \"20s\"\n");
    let coco = Coco::start(&file);
    coco.signal(Signal::SIGTERM);
    let said = Said::wait_for(2, "draining", &[&url(&coco)]);
    said.blames("CRITICAL", RUNNING);
    // Once more ends it.
    coco.signal(Signal::SIGTERM);
    coco.wait();
}

#[test]
fn a_canary_that_is_lost_or_filtered_is_named() {
    let node = LineSink::start();
    let address = node.address().to_string();
    // All connections that there may be are taken: this client's.
    let full =
        config(std::slice::from_ref(&address)).replace("[limits]\n", "[limits]\nconnections = 1\n");
    let coco = Coco::start(&full);
    let mut client = TcpStream::connect(coco.listener("line-tcp")).unwrap();
    client.write_all(b"a 1 1700000000\n").unwrap();
    coco.wait_for_ledger("its line", SOON, |ledger| match ledger.samples("decoded") {
        0 => Err("not yet".to_owned()),
        _ => Ok(()),
    });
    let said = Said::wait_for(2, "never seen", &[&url(&coco)]);
    said.blames("CRITICAL", QUERY);
    let lost = said.out.lines().find(|line| line.contains("canary line-tcp")).unwrap();
    assert!(lost.contains("CRITICAL"), "{}", said.out);
    let said = Said::of(&[&url(&coco), "--no-canary"]);
    assert!(said.text.contains("switched off by --no-canary"), "{}", said.out);
    assert!(!said.text.contains("CRITICAL"), "{}", said.out);
    drop(client);
    coco.stop();

    let filtered =
        format!("[filter]\nblacklist = \"canary\"\n{}", config(std::slice::from_ref(&address)));
    let coco = Coco::start(&filtered);
    let said = Said::wait_for(3, "the filter takes out", &[&url(&coco)]);
    said.blames("UNKNOWN", QUERY);
    coco.stop();
}

#[test]
fn numbers_from_before_a_restart_are_compared_and_an_upgrade_brings_them_along() {
    let nodes = Nodes::start();
    let file =
        format!("{}[api]\nbind = \"127.0.0.1:{}\"\n", config(&nodes.addresses()), free_port());
    let mut coco = Coco::start(&file);
    let feed = Feed::start(coco.listener("line-tcp"), 2_000);
    let url = url(&coco);
    Said::wait_for(0, "OK: 1 router, ", &[&url, WINDOW]);
    let moment = now().to_string();
    coco.upgrade();
    let since = [url.as_str(), WINDOW, "--since", &moment];
    let said = Said::wait_for(0, "OK: 1 router, ", &since);
    assert!(said.text.contains(", upgraded ") || said.text.contains("process "), "{}", said.out);

    let folder = folder();
    let path = folder.path().join("before.json");
    let path = path.to_str().unwrap();
    Said::wait_for(0, "OK: 1 router, ", &[&url, WINDOW, "--save", path]);
    let moment = now().to_string();
    drop(feed);
    coco.settle();
    coco.stop();
    let coco = Coco::start(&file);
    let feed = Feed::start(coco.listener("line-tcp"), 2_000);
    let alone = Said::wait_for(3, "give them with --before", &[&url, WINDOW, "--since", &moment]);
    alone.blames("UNKNOWN", DEVIATION);
    let joined = [url.as_str(), WINDOW, "--since", &moment, "--before", path];
    Said::wait_for(0, "before that as saved", &joined);
    let moment = now().to_string();
    feed.set(1_000);
    let halved = [url.as_str(), WINDOW, "--since", &moment, "--before", path];
    Said::wait_for(2, " fell ", &halved).blames("CRITICAL", DEVIATION);
    drop(feed);
    coco.settle();
    coco.stop();
}

#[test]
fn several_at_once_are_all_right_and_leave_no_canary_armed() {
    let nodes = Nodes::start();
    let coco = Coco::start(&config(&nodes.addresses()));
    let feed = Feed::start(coco.listener("line-tcp"), 20_000);
    let url = url(&coco);
    // A busy machine changes rates by itself and leaves gaps in a window, and that is no matter of canaries.
    let asked = [url.as_str(), WINDOW, "--min-change", "50%"];
    Said::wait_for(0, "OK: 1 router, ", &asked);
    let start = Barrier::new(VERIFIERS);
    thread::scope(|scope| {
        for _ in 0..VERIFIERS {
            scope.spawn(|| {
                start.wait();
                // From the second time on each arms while others look.
                for _ in 0..3 {
                    let said = Said::of(&asked);
                    assert_ne!(said.status, 2, "{}", said.out);
                    for listener in ["collectd", "line-tcp", "line-udp", "pickle"] {
                        let row = said
                            .out
                            .lines()
                            .find(|row| row.contains(&format!("canary {listener} ")));
                        assert!(
                            row.is_some_and(|row| row.contains("OK")),
                            "{listener}: {}",
                            said.out
                        );
                    }
                }
            });
        }
    });
    wait_for("the end of all canaries", SOON, || {
        let canary = coco.get_json("/debug/canary");
        if canary["armed"] == false { Ok(()) } else { Err(canary.to_string()) }
    });
    drop(feed);
    coco.settle();
    let ledger = coco.stop().ledger;
    assert_eq!(ledger.shed_in_all(), 0, "{ledger}");
}

#[test]
fn what_was_logged_before_an_upgrade_is_not_forgotten() {
    let node = LineSink::start();
    let file = config(&[node.address().to_string()]);
    let mut coco = Coco::start(&file);
    let before = now().to_string();
    coco.rewrite("nonsense = 1\n");
    assert_ne!(coco.ask_to_reload().status, 200);
    coco.rewrite(&file);
    let after = (now() + 0.001).to_string();
    coco.upgrade();
    let said = Said::of(&[&url(&coco), "--since", &before]);
    said.blames("CRITICAL", LOG);
    assert!(said.status == 2 && said.text.contains("`not reloaded` "), "{}", said.out);
    // An upgrade alone is no trouble, and what is asked without a time is this process.
    for arguments in [&["--since", &after][..], &[]] {
        let said = Said::of(&[&[&*url(&coco)], arguments].concat());
        assert!(said.text.contains("3. Are there bad log messages? OK"), "{}", said.out);
    }
    coco.stop();
}

#[test]
fn asking_again_and_again_changes_no_rate() {
    let nodes = Nodes::start();
    let coco = Coco::start(&config(&nodes.addresses()));
    let url = url(&coco);
    // Rates of no traffic at all.
    let quiet = [url.as_str(), "--no-canary", "--window=8s"];
    Said::wait_for(0, "OK: 1 router, ", &quiet);
    let moment = now().to_string();
    let asked = [url.as_str(), "--window=8s", "--since", &moment];
    let said = wait_for("rates after the moment", PATIENCE, || {
        let said = Said::of(&asked);
        assert!(!said.text.contains(" rose ") && said.status != 2, "{}", said.out);
        if said.status == 0 { Ok(said) } else { Err(said.out) }
    });
    assert!(said.text.contains("canary line-tcp"), "{}", said.out);
    let sent = coco.get_json("/debug/vars")["coco"]["canaries"].clone();
    let sent: u64 = sent.as_object().unwrap().values().filter_map(Value::as_u64).sum();
    assert!(sent > 20, "{sent}");
    coco.stop();
}

fn start_faulty(fault: &str, nodes: &Nodes) -> Coco {
    Coco::start_as(&config(&nodes.addresses()), faulty_binary(), |command| {
        command.env("COCO_FAULTS", fault);
    })
}

#[test]
fn faults_of_the_program_are_named() {
    let nodes = Nodes::start();
    for (fault, grade, text, question) in [
        ("log", 2, "error ", LOG),
        ("residual", 2, "residual ", DEVIATION),
        ("shed", 2, "is given up", DEVIATION),
    ] {
        let coco = start_faulty(fault, &nodes);
        let feed = Feed::start(coco.listener("line-tcp"), 2_000);
        let said = Said::wait_for(grade, text, &[&url(&coco), WINDOW]);
        said.blames("CRITICAL", question);
        drop(feed);
        // What it counted is wrong by its own will: no ledger of it adds up.
        drop(coco);
    }
}

#[test]
fn bad_endpoints_are_unknown_in_time_and_it_says_why() {
    let rows = [
        (Manner::ok("{}"), "is it a Coco"),
        (Manner::ok("[]"), "is it a Coco"),
        (Manner::Answer("404 Not Found", "404 page not found".to_owned()), "answered 404"),
    ];
    for (manner, why, said) in
        ask_each(rows.into_iter().chain(useless()), |address| Said::of(&[&address.to_string()]))
    {
        assert!(said.out.starts_with("UNKNOWN: question "), "{manner:?}: {}", said.out);
        assert!(said.status == 3 && said.text.contains(why), "{manner:?}: {}", said.out);
    }
    let dead = format!("127.0.0.1:{}", free_port());
    let said = Said::of(&[&dead]);
    assert!(said.status == 3 && said.text.contains("Connection refused"), "{}", said.out);
    said.blames("UNKNOWN", RUNNING);

    let node = LineSink::start();
    let coco = Coco::start(&config(&[node.address().to_string()]));
    let said = Said::of(&[&url(&coco), &dead]);
    assert_eq!(said.status, 3, "{}", said.out);
    assert!(said.text.contains("only 1 of 2 routers told their tiers"), "{}", said.out);
    coco.signal(Signal::SIGSTOP);
    let said = Said::of(&[&url(&coco)]);
    coco.signal(Signal::SIGCONT);
    assert!(said.status == 3 && said.text.contains("it said nothing for "), "{}", said.out);
    coco.stop();

    for (arguments, why) in [
        (&["https://a"][..], "only plain HTTP is spoken"),
        (&["--since", "yesterday"], "give a Unix time"),
        (&["--window", "0s"], "more than zero"),
        (&["--never"], "unexpected argument"),
    ] {
        let said = Said::of(arguments);
        assert_eq!(said.status, 3, "{}", said.out);
        assert!(said.out.starts_with("UNKNOWN: ") && said.text.contains(why), "{}", said.out);
        let said = Said::of(&[&["--json"], arguments].concat());
        let told: Value = serde_json::from_str(&said.out).unwrap();
        assert_eq!((said.status, &told["grade"]), (3, &json!("UNKNOWN")), "{told}");
    }
    let said = Said::of(&[&dead, "--before", "/nowhere/x", "--config", "/nowhere/y"]);
    assert!(said.text.contains("No such file"), "{}", said.out);
    assert_eq!(Said::of(&["--help"]).status, 0);
}
