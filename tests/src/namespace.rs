//! Tests with a network, a mount table and users of their own, so that they may drop what they like.
//!
//! A test that runs [`alone`] runs its own program once more with `unshare`, where nothing but its own
//! processes sees the network; what it does there ends with it, after a failure too. It takes no root: the
//! kernel gives an unprivileged user a namespace in which it is root. Where the kernel refuses that, root
//! gets the other namespaces without; where neither works the test fails and says what is missing.

use std::{
    any, env, fs,
    io::{Read, Write},
    net::Ipv4Addr,
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
    sync::OnceLock,
    thread,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};

use crate::{process::program, wait::wait_for};

/// Names the test that runs inside.
const INSIDE: &str = "COCO_TEST_INSIDE";

/// No test takes so long.
const LIMIT: Duration = Duration::from_secs(240);

/// Ways to a network of one's own, best first.
const WAYS: [&[&str]; 2] =
    [&["--user", "--map-root-user", "--net", "--mount"], &["--net", "--mount"]];

/// Runs the body of a test in namespaces of its own. To be called from the test itself, once, with a
/// closure: the name of the test comes from its type.
#[track_caller]
pub fn alone<F: FnOnce(&Network)>(body: F) {
    let path = any::type_name::<F>();
    let (_, test) = path.split_once("::").expect("a closure is in a crate");
    let test = test.trim_end_matches("::{{closure}}");
    if env::var(INSIDE).is_ok_and(|inside| inside == test) {
        return body(&Network::new());
    }
    let own = env::current_exe().expect("a test knows its own path");
    let mut command = Command::new(program("unshare", "util-linux"));
    command.args(way()).arg(own).args(["--exact", test, "--nocapture", "--test-threads=1"]);
    command.env(INSIDE, test).process_group(0);
    let spawned =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut inside = Inside(spawned.expect("unshare starts"));
    let shown = [
        show(inside.0.stdout.take().expect("stdout is piped")),
        show(inside.0.stderr.take().expect("stderr is piped")),
    ];
    let status = wait_for("the test inside", LIMIT, || {
        let exited = inside.0.try_wait().expect("a child can be waited for");
        exited.ok_or_else(|| "it still runs".to_owned())
    });
    drop(inside);
    let [stdout, stderr] = shown.map(|reader| reader.join().expect("a reader does not panic"));
    eprintln!("{stdout}");
    eprintln!("{stderr}");
    assert!(stdout.contains("1 passed") && status.success(), "{test} inside: {status}");
}

/// The test inside with all its processes, which end with this handle.
struct Inside(Child);

impl Drop for Inside {
    fn drop(&mut self) {
        let group = Pid::from_raw(i32::try_from(self.0.id()).expect("process ids fit an i32"));
        // Nobody is left of it after a good end.
        killpg(group, Signal::SIGKILL).ok();
        self.0.wait().ok();
    }
}

fn show(mut stream: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // A read error means that the writer is gone, like the end of the stream.
        stream.read_to_end(&mut bytes).ok();
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// The arguments of `unshare` that work here.
fn way() -> &'static [&'static str] {
    static WAY: OnceLock<&[&str]> = OnceLock::new();
    WAY.get_or_init(|| {
        let mut refusals = String::new();
        for way in WAYS {
            match run("unshare", "util-linux", &[way, &["true"]].concat()) {
                Ok(()) => return way,
                Err(why) => refusals += &format!("\n{why}"),
            }
            eprintln!("no namespaces in this way, trying the next: {refusals}");
        }
        panic!("this kernel gives this user no network of its own:{refusals}")
    })
}

/// A network of the test's own: `lo` and what is added to it.
#[derive(Debug)]
pub struct Network {
    iptables: &'static str,
}

/// Which packets a rule meets: the arguments of iptables before `--jump`.
pub type Match<'a> = &'a [&'a str];

impl Network {
    fn new() -> Self {
        must(run("ip", "iproute2", &["link", "set", "lo", "up"]));
        // For the lock of iptables, which an ordinary user cannot write outside.
        mount_tmpfs(Path::new("/run"), "1m");
        // The newer one needs nf_tables in the kernel, the older one ip_tables.
        let commands = ["iptables", "iptables-legacy"];
        let works = |name: &&str| {
            let tried = run(name, "iptables", &["-A", "INPUT", "-s", "192.0.2.1", "-j", "DROP"]);
            tried.inspect_err(|why| eprintln!("{why}")).is_ok()
        };
        let iptables = commands.into_iter().find(works);
        Self { iptables: iptables.expect("the kernel has nf_tables or ip_tables") }
    }

    /// Another address of this network.
    pub fn add(&self, address: Ipv4Addr) {
        must(run("ip", "iproute2", &["address", "add", &format!("{address}/32"), "dev", "lo"]));
    }

    /// Takes an address away: nothing leads there any more.
    pub fn take(&self, address: Ipv4Addr) {
        must(run("ip", "iproute2", &["address", "del", &format!("{address}/32"), "dev", "lo"]));
    }

    /// What comes in and is like this has this fate (`DROP`, `REJECT`, with its options), before all
    /// earlier rules.
    pub fn rule(&self, like: Match<'_>, fate: Match<'_>) {
        self.rule_of("INPUT", like, fate);
    }

    /// The same for what goes out: a sender is told.
    pub fn rule_out(&self, like: Match<'_>, fate: Match<'_>) {
        self.rule_of("OUTPUT", like, fate);
    }

    fn rule_of(&self, chain: &str, like: Match<'_>, fate: Match<'_>) {
        let arguments = [&["--insert", chain], like, &["--jump"], fate].concat();
        must(run(self.iptables, "iptables", &arguments));
    }

    /// Takes all rules away.
    pub fn heal(&self) {
        must(run(self.iptables, "iptables", &["--flush"]));
    }

    /// What goes to this address goes at so many kbit/s at most: by htb, and where the kernel lacks it by
    /// dropping what is more.
    pub fn limit(&self, address: Ipv4Addr, kbit: u32) {
        let (address, rate) = (format!("{address}/32"), format!("{kbit}kbit"));
        let tc = |text: &str| run("tc", "iproute2", &text.split(' ').collect::<Vec<_>>());
        let made = tc("qdisc add dev lo root handle 1: htb")
            .and_then(|()| tc(&format!("class add dev lo parent 1: classid 1:1 htb rate {rate}")))
            .and_then(|()| {
                let to = format!("match ip dst {address} flowid 1:1");
                tc(&format!("filter add dev lo parent 1: protocol ip prio 1 u32 {to}"))
            });
        if let Err(why) = made {
            eprintln!("no htb, dropping instead: {why}");
            // 1,500 bytes each.
            let packets = format!("{}/second", (kbit / 12).max(1));
            self.rule(&["-d", &address], &["DROP"]);
            self.rule(&["-d", &address, "-m", "limit", "--limit", &packets], &["ACCEPT"]);
        }
    }

    /// Takes the limit away.
    pub fn unlimit(&self) {
        self.heal();
        run("tc", "iproute2", &["qdisc", "del", "dev", "lo", "root"]).ok();
    }

    /// Sets a variable of this network below `/proc/sys/net`.
    pub fn set(&self, variable: &str, value: &str) {
        let file = Path::new("/proc/sys/net").join(variable);
        fs::write(&file, value).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }

    /// A disk of `size` (`4m`) on this folder.
    pub fn small_disk(&self, folder: &Path, size: &str) {
        mount_tmpfs(folder, size);
    }

    /// Processes started from now on see this text as that file.
    pub fn replace(&self, file: &Path, text: &str) -> Replaced {
        let mut other = tempfile::NamedTempFile::new().expect("temporary files can be made");
        other.write_all(text.as_bytes()).expect("a temporary file can be written");
        let (from, to) = (other.path().display().to_string(), file.display().to_string());
        must(run("mount", "mount", &["--bind", &from, &to]));
        Replaced(other)
    }
}

/// The text in place of another.
#[derive(Debug)]
pub struct Replaced(tempfile::NamedTempFile);

impl Replaced {
    /// Puts another text in its place.
    pub fn write(&self, text: &str) {
        fs::write(self.0.path(), text).expect("a temporary file can be written");
    }
}

fn mount_tmpfs(folder: &Path, size: &str) {
    let (size, folder) = (format!("size={size}"), folder.display().to_string());
    must(run("mount", "mount", &["-t", "tmpfs", "-o", &size, "none", &folder]));
}

/// Runs a program to its end; the error is what it said.
fn run(name: &str, package: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program(name, package)).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{name}: {error}"));
    match output.status.success() {
        true => Ok(()),
        false => {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(format!("{name} {}: {}", arguments.join(" "), said.trim_end()))
        }
    }
}

#[track_caller]
fn must(ran: Result<(), String>) {
    ran.unwrap_or_else(|why| panic!("{why}"));
}
