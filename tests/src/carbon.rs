//! Real carbon-cache daemons with whisper files, a pickle client in Python, and carbon's routers.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    io::Write,
    net::{Ipv4Addr, TcpStream},
    path::PathBuf,
    process::{Command, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    corpus,
    port::free_port,
    process::{Process, folder},
    store,
    tools::venv,
    wait::{SOON, wait_until},
};

/// A running carbon-cache with storage of its own.
#[derive(Debug)]
pub struct Carbon {
    process: Process,
    line_port: u16,
    pickle_port: u16,
    dir: TempDir,
}

impl Carbon {
    /// Starts one that takes lines and pickles on ports of 127.0.0.1, and waits until it does.
    pub fn start() -> Self {
        let dir = folder();
        let [line_port, pickle_port, query_port] = [free_port(), free_port(), free_port()];
        let root = dir.path().to_str().expect("temporary folders have plain names");
        let config = corpus::text("peers/carbon.conf.in")
            .replace("@DIR@", root)
            .replace("@LINE@", &line_port.to_string())
            .replace("@PICKLE@", &pickle_port.to_string())
            .replace("@QUERY@", &query_port.to_string());
        let write = |name: &str, text: &str| {
            fs::write(dir.path().join(name), text).expect("a temporary file can be written");
        };
        write("carbon.conf", &config);
        write("storage-schemas.conf", "[all]\npattern = .*\nretentions = 60s:1h\n");
        let mut command = Command::new(venv("carbon-cache.py"));
        command
            .args(["--nodaemon", "--pidfile", &format!("{root}/pid")])
            .args(["--config", &format!("{root}/carbon.conf"), "start"])
            .env("GRAPHITE_ROOT", root);
        let process = Process::start("carbon-cache", &mut command);
        let mut carbon = Self { process, line_port, pickle_port, dir };
        for port in [line_port, pickle_port] {
            let listening = format!("starting on {port}");
            carbon.process.wait_for_line(&[&listening], SOON);
            wait_until("carbon to listen", SOON, || {
                TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
            });
        }
        carbon
    }

    /// Where it takes lines.
    pub fn line_address(&self) -> String {
        format!("127.0.0.1:{}", self.line_port)
    }

    /// Where it takes pickles.
    pub fn pickle_address(&self) -> String {
        format!("127.0.0.1:{}", self.pickle_port)
    }

    /// How many whisper files there are.
    pub fn file_count(&self) -> usize {
        store::files(&self.whisper()).iter().filter(|name| name.ends_with(".wsp")).count()
    }

    /// What whisper has under each of these names: the latest time and value, as Python writes
    /// them; a name without a file is left out.
    pub fn stored(&self, names: &[String]) -> BTreeMap<String, (u64, String)> {
        let lines = python("whisper_read.py", &[self.whisper().as_os_str()], &names.join("\n"));
        let row = |line: &str| {
            let mut columns = line.split('\t');
            let name = columns.next()?.to_owned();
            Some((name, (columns.next()?.parse().ok()?, columns.next()?.to_owned())))
        };
        lines
            .lines()
            .map(|line| row(line).unwrap_or_else(|| panic!("whisper_read.py says {line:?}")))
            .collect()
    }

    fn whisper(&self) -> PathBuf {
        self.dir.path().join("whisper")
    }
}

/// Sends `NAME VALUE TIME` lines to a pickle port as carbon's own clients do: protocol 2, frames of
/// 500.
pub fn send_pickles(port: u16, lines: &str) {
    python("pickle_send.py", &[OsStr::new(&port.to_string())], lines);
}

/// Where carbon's own routers send each of these names: for each name the answers of all the relays,
/// each of which is given as the `[relay]` section of its carbon.conf. An answer is the destinations
/// in order, joined by commas.
pub fn routes(relays: &[Value], names: &[String]) -> Vec<Vec<String>> {
    let input = format!("{}\n{}", Value::from(relays), names.join("\n"));
    let answers = python("carbon_route.py", &[], &input);
    let row = |line: &str| line.split('\t').map(str::to_owned).collect();
    let rows: Vec<_> = answers.lines().map(row).collect();
    assert_eq!(rows.len(), names.len(), "answers of carbon_route.py");
    rows
}

/// Runs a script of `peers/` with the Python that has carbon and whisper.
fn python(script: &str, arguments: &[&OsStr], input: &str) -> String {
    let mut child = Command::new(venv("python"))
        .arg(corpus::file("peers").join(script))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python starts");
    let mut stdin = child.stdin.take().expect("stdin is piped");
    let input = input.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().expect("the output of a child can be read");
    writer.join().expect("writing does not panic").expect("the script reads its input");
    assert!(output.status.success(), "{script} ended with {}", output.status);
    String::from_utf8(output.stdout).expect("the scripts write UTF-8")
}
