//! What was measured on, and with what.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, ensure};
use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    sys::resource::{Resource, getrlimit, setrlimit},
    unistd::Pid,
};
use serde_json::Value;

use super::contender::carbon_version;

/// The core of the subject, and that of everything else.
#[derive(Debug, Clone, Copy)]
pub struct Cores {
    /// Runs the subject alone, so that Coco starts one shard.
    pub subject: usize,
    /// Feeder and sinks; the same one on a machine that has but one.
    pub bench: usize,
}

impl Cores {
    /// Takes the first and the last core that this process may use, and keeps to the last.
    ///
    /// # Errors
    /// The kernel does not allow it.
    pub fn take() -> anyhow::Result<Self> {
        let all = sched_getaffinity(Pid::from_raw(0))?;
        let mut allowed = (0..CpuSet::count()).filter(|&core| all.is_set(core) == Ok(true));
        let subject = allowed.next().context("no core may be used")?;
        let bench = allowed.next_back().unwrap_or(subject);
        pin(&[bench])?;
        Ok(Self { subject, bench })
    }

    /// Both of them, for a subject that needs more than one.
    pub fn both(self) -> [usize; 2] {
        [self.subject, self.bench]
    }
}

/// Keeps the calling thread, and what it starts, to these cores.
///
/// # Errors
/// The kernel does not allow it.
pub fn pin(cores: &[usize]) -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    cores.iter().try_for_each(|&core| set.set(core))?;
    sched_setaffinity(Pid::from_raw(0), &set).context("cannot keep to these cores")
}

/// Builds Coco as it is released, and tells where it is.
///
/// # Errors
/// It does not build.
pub fn build_coco() -> anyhow::Result<PathBuf> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let arguments =
        ["build", "--release", "--package=coco-server", "--bin=coco", "--message-format=json"];
    let output = Command::new(cargo).args(arguments).stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "coco does not build");
    let executable = |message: Value| message.get("executable")?.as_str().map(PathBuf::from);
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok().and_then(executable))
        .next_back()
        .context("cargo named no executable")
}

/// Where cargo builds.
pub fn target_dir() -> PathBuf {
    let workspace = || Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("target");
    env::var_os("CARGO_TARGET_DIR").map_or_else(workspace, PathBuf::from)
}

/// Raises the limit of open files as far as is allowed; tells where it is then.
///
/// # Errors
/// Whatever the kernel says.
pub fn raise_open_files() -> anyhow::Result<u64> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    Ok(hard)
}

/// The first line that a program writes, to either end; `None` if there is no such program.
pub fn first_line(program: impl AsRef<Path>, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program.as_ref()).args(arguments).output().ok()?;
    let text = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    String::from_utf8_lossy(&text).lines().next().map(|line| line.trim().to_owned())
}

/// The model of the processor.
pub fn cpu_model() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name"));
    model.map_or("unknown", |line| line.trim_start_matches([' ', '\t', ':'])).to_owned()
}

/// The model of the processor as the name of a folder.
pub fn cpu_folder() -> String {
    let model = cpu_model().to_lowercase();
    let words = model.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-")
}

/// What a reader needs to measure the same again: pairs of a name and a text.
pub fn description(coco: &Path) -> Vec<(&'static str, String)> {
    let unknown = |line: Option<String>| line.unwrap_or_else(|| "not there".to_owned());
    let git = |arguments: &[&str]| first_line("git", arguments);
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]).is_some();
    let commit = unknown(git(&["rev-parse", "--short=12", "HEAD"]));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    vec![
        ("machine", format!("{}, Linux {}", cpu_model(), kernel.trim())),
        ("commit", commit + if changed { " and uncommitted changes" } else { "" }),
        ("coco", unknown(first_line(coco, &["--version"]))),
        ("carbon-c-relay", unknown(first_line("carbon-c-relay", &["-v"]))),
        ("carbon.py", unknown(carbon_version())),
        ("strace", unknown(first_line("strace", &["--version"]))),
        ("rustc", unknown(first_line("rustc", &["--version"]))),
        ("date", unknown(first_line("date", &["-u", "+%F"]))),
        ("command", command()),
    ]
}

/// The command that makes the same table, without paths of this machine.
fn command() -> String {
    let mut arguments: Vec<_> = env::args().skip(1).collect();
    while let Some(at) = arguments.iter().position(|text| ["--coco", "--csv"].contains(&&**text)) {
        arguments.drain(at..arguments.len().min(at + 2));
    }
    format!("cargo run --release -p coco-benches --bin relay -- {}", arguments.join(" "))
}
