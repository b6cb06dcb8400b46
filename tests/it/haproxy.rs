use std::{
    collections::HashMap,
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    path::PathBuf,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use coco_tests::{
    coco::{self, Coco, targets},
    port::free_port,
    process::{Process, Signal, folder, program},
    sink::LineSink,
    wait::wait_for,
};
use tempfile::TempDir;

/// Several checks in a row, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// The ports of a router, which keeps them over a restart.
#[derive(Debug, Clone, Copy)]
struct Router {
    lines: u16,
    api: u16,
    agent: u16,
}

impl Router {
    fn new() -> Self {
        Self { lines: free_port(), api: free_port(), agent: free_port() }
    }

    /// Its configuration, with these targets.
    fn config(&self, addresses: &[String]) -> String {
        let Self { lines, api, agent } = self;
        format!(
            "[graphite]\nbind = \"127.0.0.1:{lines}\"\n\
             [api]\nbind = \"127.0.0.1:{api}\"\nagent = \"127.0.0.1:{agent}\"\n\
             [limits]\ndrain_delay = \"6s\"\n\
             [tiers.archive]\nprotocol = \"graphite\"\n{}",
            targets(addresses)
        )
    }

    /// What the agent says to whoever connects, and perhaps says something first.
    fn word(&self, said: &[u8]) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.agent)).unwrap();
        stream.write_all(said).unwrap();
        let mut word = String::new();
        stream.read_to_string(&mut word).unwrap();
        word
    }
}

/// The file as shipped.
fn shipped() -> PathBuf {
    coco::root().join("deploy/haproxy/haproxy.cfg")
}

/// A running HAProxy.
struct Haproxy {
    dir: TempDir,
    port: u16,
    _process: Process,
}

impl Haproxy {
    /// Starts it with the shipped file, in which ports and paths are replaced, without the lines in `left_out`.
    fn start(routers: [Router; 2], left_out: &[&str]) -> Self {
        let (dir, port) = (folder(), free_port());
        let socket = dir.path().join("admin.sock");
        let mut text = fs::read_to_string(shipped()).unwrap();
        let mut replace = |from: &str, to: &str| {
            assert_eq!(text.matches(from).count(), 1, "{from}");
            text = text.replace(from, to);
        };
        // Whoever runs the test may not change to another user.
        replace("    user haproxy\n    group haproxy\n", "");
        replace("/run/haproxy/admin.sock", socket.to_str().unwrap());
        replace("bind :2003", &format!("bind 127.0.0.1:{port}"));
        for (host, Router { lines, api, agent }) in ["10.0.0.11", "10.0.0.12"].iter().zip(routers) {
            replace(
                &format!("{host}:2003 check port 9090 agent-check agent-port 9099"),
                &format!("127.0.0.1:{lines} check port {api} agent-check agent-port {agent}"),
            );
        }
        for line in left_out {
            replace(&format!("\n    {line}\n"), "\n");
        }
        let file = dir.path().join("haproxy.cfg");
        fs::write(&file, text).unwrap();
        let mut command = Command::new(program("haproxy", "haproxy"));
        command.arg("-db").arg("-f").arg(&file);
        Self { _process: Process::start("haproxy", &mut command), dir, port }
    }

    fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// `show stat` of a server: the columns by name.
    fn server(&self, name: &str) -> Result<HashMap<String, String>, String> {
        let socket = self.dir.path().join("admin.sock");
        let mut stream = UnixStream::connect(socket).map_err(|error| error.to_string())?;
        stream.write_all(b"show stat\n").map_err(|error| error.to_string())?;
        let mut csv = String::new();
        stream.read_to_string(&mut csv).map_err(|error| error.to_string())?;
        let mut rows = csv.lines().map(|line| line.split(',').map(str::to_owned));
        let head = rows.next().ok_or("no columns")?;
        let columns: Vec<_> = head.map(|name| name.trim_start_matches("# ").to_owned()).collect();
        let mut all = rows.map(|row| columns.iter().cloned().zip(row).collect::<HashMap<_, _>>());
        all.find(|row| row.get("svname").is_some_and(|known| known == name))
            .ok_or_else(|| format!("no {name} in\n{csv}"))
    }

    /// Waits until a server is in this state, and returns its columns.
    #[track_caller]
    fn wait_for(&self, name: &str, status: &str) -> HashMap<String, String> {
        wait_for(&format!("{name} to be {status}"), PATIENCE, || {
            let row = self.server(name)?;
            if row["status"].starts_with(status) { Ok(row) } else { Err(format!("{row:?}")) }
        })
    }
}

/// Sends numbered lines, each connection for a while, until it is told to stop; returns how many there were.
fn feed(
    to: SocketAddr,
    name: &'static str,
    a_connection: u32,
    stop: &Arc<AtomicBool>,
) -> JoinHandle<u64> {
    let stop = Arc::clone(stop);
    thread::spawn(move || {
        let mut number = 0;
        while !stop.load(Ordering::Relaxed) {
            let mut client = TcpStream::connect(to).expect("HAProxy takes clients");
            for _ in 0..a_connection {
                let mut lines = String::new();
                for _ in 0..20 {
                    lines += &format!("{name}{} {number} 1700000000\n", number % 50);
                    number += 1;
                }
                client.write_all(lines.as_bytes()).expect("HAProxy reads");
                thread::park_timeout(Duration::from_millis(20));
            }
            client.shutdown(std::net::Shutdown::Write).expect("an open connection");
            // The router has read all of it when it closes.
            client.read_to_end(&mut Vec::new()).expect("HAProxy closes in order");
        }
        number
    })
}

#[test]
fn the_shipped_file_is_good() {
    let mut command = Command::new(program("haproxy", "haproxy"));
    let output = command.arg("-c").arg("-f").arg(shipped()).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success() && !said.contains("WARNING"), "{said}");
}

#[test]
fn a_router_drains_goes_and_comes_back_and_no_line_is_lost() {
    let (sink, routers) = (LineSink::start(), [Router::new(), Router::new()]);
    let configs = routers.map(|router| router.config(&[sink.address().to_string()]));
    let [first, second] = configs.each_ref().map(|config| Coco::start(config));
    let haproxy = Haproxy::start(routers, &[]);
    // Before the first check they are taken to be up.
    for name in ["coco-a", "coco-b"] {
        wait_for(&format!("a check of {name}"), PATIENCE, || {
            let row = haproxy.server(name)?;
            let is_up = row["status"] == "UP" && row["check_status"] == "L7OK";
            if is_up { Ok(()) } else { Err(format!("{row:?}")) }
        });
    }
    let stop = Arc::new(AtomicBool::new(false));
    let feeders = [("short", 5), ("long", 50)]
        .map(|(name, ticks)| feed(haproxy.address(), name, ticks, &stop));
    wait_for("lines by both routers", PATIENCE, || {
        let sent = [&first, &second].map(|coco| coco.ledger().of_all("sent"));
        if sent.iter().all(|sent| *sent > 0) { Ok(()) } else { Err(format!("{sent:?}")) }
    });

    first.signal(Signal::SIGTERM);
    haproxy.wait_for("coco-a", "NOLB");
    assert_eq!(routers[0].word(b""), "drain\n");
    assert_eq!(first.get("/readyz?drain=404").status, 404);
    assert_eq!(first.get("/readyz?drain=405").status, 503);
    assert_eq!(first.get("/readyz").status, 503);
    let stopped = first.wait();
    assert_eq!(stopped.ledger.shed_in_all(), 0);
    haproxy.wait_for("coco-a", "DOWN");
    let first = Coco::start(&configs[0]);
    haproxy.wait_for("coco-a", "UP");
    wait_for("lines by the router that came back", PATIENCE, || {
        if first.ledger().of_all("sent") > 0 { Ok(()) } else { Err("none".to_owned()) }
    });

    stop.store(true, Ordering::Relaxed);
    let sent: u64 = feeders.map(|feeder| feeder.join().unwrap()).iter().sum();
    for coco in [first, second] {
        coco.settle();
        coco.stop();
    }
    wait_for("all lines", PATIENCE, || match sink.count() as u64 {
        count if count == sent => Ok(()),
        count => Err(format!("{count} of {sent}")),
    });
    let mut lines = sink.lines();
    lines.sort_unstable();
    lines.dedup();
    assert_eq!(lines.len() as u64, sent, "each of them once");
}

#[test]
fn the_agent_alone_is_enough_and_says_why() {
    let (sink, routers) = (LineSink::start(), [Router::new(), Router::new()]);
    let good = routers[0].config(&[sink.address().to_string()]);
    let coco = Coco::start(&good);
    // What is left of the other check is a connection to the API.
    let httpchk = ["option httpchk GET /readyz?drain=404", "http-check disable-on-404"];
    let haproxy = Haproxy::start(routers, &httpchk);
    // Before the first check it is taken to be so.
    wait_for("the agent's word", PATIENCE, || {
        match haproxy.server("coco-a")?["last_agt"].as_str() {
            "via agent : up" => Ok(()),
            other => Err(other.to_owned()),
        }
    });
    haproxy.wait_for("coco-a", "UP");
    // Words of the client mean nothing, and do not cost it the answer.
    for said in [&b""[..], b"hello\n", &[b'x'; 900]] {
        assert_eq!(routers[0].word(said), "up ready 100%\n");
    }

    coco.signal(Signal::SIGTERM);
    haproxy.wait_for("coco-a", "DRAIN");
    coco.wait();
    haproxy.wait_for("coco-a", "DOWN");

    let mut coco = Coco::start_unready(&routers[0].config(&[]));
    let row = haproxy.wait_for("coco-a", "DOWN (agent)");
    assert_eq!(row["last_agt"], "via agent : down (tier archive has no ring)");
    coco.reload(&good);
    let row = haproxy.wait_for("coco-a", "UP");

    // Another process takes over, and HAProxy sees nothing of it.
    let downs = |row: &HashMap<String, String>| row["chkdown"].clone();
    let before = downs(&row);
    coco.upgrade();
    assert_eq!(routers[0].word(b""), "up ready 100%\n");
    let row = haproxy.wait_for("coco-a", "UP");
    assert_eq!(downs(&row), before);
    coco.stop();
}
