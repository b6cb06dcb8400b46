//! The program under measurement: started on its core, its log read, its CPU time and memory asked.

use std::{
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use nix::{time::clock_getcpuclockid, unistd::Pid};
use serde_json::Value;
use tempfile::TempDir;

use super::machine::pin;

/// Long enough for a start on a busy machine.
const START_MAX: Duration = Duration::from_secs(20);

/// A running program. Killed when dropped.
#[derive(Debug)]
pub struct Subject {
    child: Child,
    fresh: Receiver<String>,
    log: Vec<String>,
    /// Its configuration.
    _folder: Option<TempDir>,
}

/// CPU time that a program has used so far.
#[derive(Debug, Clone, Copy)]
pub struct CpuTime {
    /// Exact, all threads together.
    pub total: Duration,
    /// In user mode and in the kernel, in clock ticks: only good for a rough share.
    pub ticks: (u64, u64),
}

impl Subject {
    /// Starts a program on these cores.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(command: &mut Command, cores: &[usize]) -> anyhow::Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        // A child inherits the cores of the thread that starts it.
        let spawn = || pin(cores).and_then(|()| Ok(command.spawn()?));
        let spawned = thread::scope(|scope| scope.spawn(spawn).join());
        let mut child = spawned.unwrap_or_else(|_| bail!("the starting thread panicked"))?;
        let stderr = child.stderr.take().context("no standard error")?;
        let (line, fresh) = channel();
        thread::spawn(move || {
            let lines = BufReader::new(stderr).lines();
            lines.map_while(Result::ok).try_for_each(|text| line.send(text))
        });
        Ok(Self { child, fresh, log: Vec::new(), _folder: None })
    }

    /// Starts a program with a file of this content as its last argument.
    ///
    /// # Errors
    /// The file cannot be written, or the program cannot be started.
    pub fn start_with_file(
        command: &mut Command,
        content: &str,
        cores: &[usize],
    ) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("configuration");
        fs::write(&file, content)?;
        let mut subject = Self::start(command.arg(&file), cores)?;
        subject._folder = Some(folder);
        Ok(subject)
    }

    /// The address in the first line of its log that has all of `needles`.
    ///
    /// # Errors
    /// No such line within 20 s.
    pub fn address(&mut self, needles: &[&str]) -> anyhow::Result<SocketAddr> {
        let deadline = Instant::now() + START_MAX;
        loop {
            let found = self.log.iter().find(|line| needles.iter().all(|n| line.contains(n)));
            if let Some(line) = found {
                let (_, address) = line.split_once("address=").context("a line without address")?;
                return address.trim().parse().context("no address");
            }
            match self.fresh.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => self.log.push(line),
                Err(_) => bail!("no line with {needles:?} in its log:\n{}", self.log.join("\n")),
            }
        }
    }

    /// CPU time so far.
    ///
    /// # Errors
    /// It has ended.
    pub fn cpu(&self) -> anyhow::Result<CpuTime> {
        let clock = clock_getcpuclockid(Pid::from_raw(self.child.id().cast_signed()))?;
        let stat = self.proc("stat")?;
        let mut fields = stat.rsplit(')').next().unwrap_or_default().split_ascii_whitespace();
        let user = fields.nth(11).and_then(|ticks| ticks.parse().ok()).unwrap_or_default();
        let system = fields.next().and_then(|ticks| ticks.parse().ok()).unwrap_or_default();
        Ok(CpuTime { total: clock.now()?.into(), ticks: (user, system) })
    }

    /// A size in MiB of its memory: `VmRSS` now or `VmHWM` at most so far.
    ///
    /// # Errors
    /// It has ended.
    pub fn memory_mib(&self, field: &str) -> anyhow::Result<f64> {
        let status = self.proc("status")?;
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        let kib = line.and_then(|line| line.trim().split(' ').next()?.parse::<f64>().ok());
        Ok(kib.context("no such size")? / 1024.0)
    }

    fn proc(&self, file: &str) -> anyhow::Result<String> {
        fs::read_to_string(format!("/proc/{}/{file}", self.child.id()))
            .with_context(|| format!("it has ended:\n{}", self.log.join("\n")))
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop((self.child.kill(), self.child.wait()));
    }
}

/// A running Coco.
#[derive(Debug)]
pub struct Coco {
    /// Its process.
    pub process: Subject,
    api: SocketAddr,
}

impl Coco {
    /// Starts it with this configuration, but for the API's address.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(binary: &OsStr, config: &str, core: usize) -> anyhow::Result<Self> {
        let config = format!("{config}\n[api]\nbind = \"127.0.0.1:0\"\n");
        let mut command = Command::new(binary);
        let mut process = Subject::start_with_file(command.env("NO_COLOR", "1"), &config, &[core])?;
        let api = process.address(&["api listening"])?;
        Ok(Self { process, api })
    }

    /// Position among `targets` of the one that owns `name` in a tier.
    ///
    /// # Errors
    /// The API does not answer with one of them.
    pub fn owner(&self, tier: &str, name: &[u8], targets: &[SocketAddr]) -> anyhow::Result<usize> {
        let answer = self.get(&format!("/lookup?name={}", name.escape_ascii()))?;
        let owner = answer.get(tier).and_then(Value::as_str).unwrap_or_default();
        let position = targets.iter().position(|target| target.to_string() == owner);
        position.with_context(|| format!("{} is owned by {answer}", name.escape_ascii()))
    }

    /// Checks that everything is accounted for and nothing was lost; gives the ledger.
    ///
    /// # Errors
    /// Something was lost, or is not accounted for.
    pub fn balanced_ledger(&self) -> anyhow::Result<Value> {
        let ledger = self.ledger()?;
        let lost = sum(&ledger, &["kernel_dropped", "truncated", "malformed", "shed", "queued"]);
        ensure!(lost == 0, "{lost} lost or left: {ledger}");
        Ok(ledger)
    }

    /// Where everything went, of which all is accounted for.
    ///
    /// # Errors
    /// Something is not accounted for.
    pub fn ledger(&self) -> anyhow::Result<Value> {
        let ledger = self.get("/ledger")?;
        ensure!(ledger.get("residual").and_then(Value::as_i64) == Some(0), "residual: {ledger}");
        Ok(ledger)
    }

    fn get(&self, path: &str) -> anyhow::Result<Value> {
        let mut stream = TcpStream::connect(self.api)?;
        stream.set_read_timeout(Some(START_MAX))?;
        // HTTP/1.0 forbids chunks, so the body is what follows the head.
        write!(stream, "GET {path} HTTP/1.0\r\nHost: {}\r\n\r\n", self.api)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP")?;
        ensure!(head.contains(" 200 "), "GET {path}: {answer}");
        Ok(serde_json::from_str(body)?)
    }
}

/// The sum of all numbers that stand anywhere below one of these keys.
pub fn sum(value: &Value, keys: &[&str]) -> u64 {
    match value {
        Value::Object(fields) => fields
            .iter()
            .map(
                |(key, value)| {
                    if keys.contains(&key.as_str()) { total(value) } else { sum(value, keys) }
                },
            )
            .sum(),
        Value::Array(values) => values.iter().map(|value| sum(value, keys)).sum(),
        _ => 0,
    }
}

fn total(value: &Value) -> u64 {
    match value {
        Value::Object(fields) => fields.values().map(total).sum(),
        other => other.as_u64().unwrap_or_default(),
    }
}
