//! carbon-relay.py, from the virtual environment that `./test` makes.

use std::{env, fs, net::SocketAddr, path::PathBuf, process::Command};

use anyhow::Context as _;

use crate::relay::{
    machine::{first_line, target_dir},
    scenario::Scenario,
    subject::Subject,
};

/// Its program.
pub(super) const RELAY: &str = "carbon-relay.py";

/// The version of carbon, if it is there.
pub fn version() -> Option<String> {
    let script = "from importlib.metadata import version; print(version('carbon'))";
    let there = program(RELAY).is_file();
    there.then(|| first_line(program("python"), &["-c", script])).flatten()
}

/// A program of the virtual environment.
pub(super) fn program(name: &str) -> PathBuf {
    let venv = env::var_os("COCO_TEST_VENV").map(PathBuf::from);
    venv.unwrap_or_else(|| target_dir().join("test-venv")).join("bin").join(name)
}

/// Starts it, with the ports for lines and pickles.
pub(super) fn start(
    scenario: &Scenario,
    targets: &[SocketAddr],
    [line, pickle]: [u16; 2],
    cores: &[usize],
) -> anyhow::Result<Subject> {
    let folder = tempfile::tempdir()?;
    let root = folder.path().to_str().context("a temporary folder with an odd name")?.to_owned();
    let members: Vec<_> =
        targets.iter().enumerate().map(|(at, target)| format!("{target}:i{at}")).collect();
    let config = format!(
        "[relay]\nUSER =\nLOG_DIR = {root}\nPID_DIR = {root}\nCONF_DIR = {root}\n\
         LOCAL_DATA_DIR = {root}\nSTORAGE_DIR = {root}\n\
         LINE_RECEIVER_INTERFACE = 127.0.0.1\nLINE_RECEIVER_PORT = {line}\n\
         PICKLE_RECEIVER_INTERFACE = 127.0.0.1\nPICKLE_RECEIVER_PORT = {pickle}\n\
         RELAY_METHOD = consistent-hashing\nREPLICATION_FACTOR = {}\n\
         DESTINATIONS = {}\nDESTINATION_PROTOCOL = line\nMAX_QUEUE_SIZE = 1000000\n\
         USE_FLOW_CONTROL = True\nCARBON_METRIC_INTERVAL = 0\nLOG_LISTENER_CONN_SUCCESS = False\n",
        scenario.replicas,
        members.join(", ")
    );
    // It does not start without, though a relay has no use for it.
    fs::write(folder.path().join("storage-schemas.conf"), "")?;
    let file = folder.path().join("carbon.conf");
    fs::write(&file, config)?;
    let mut command = Command::new(program(RELAY));
    command
        .args(["--nodaemon", "--pidfile", &format!("{root}/pid"), "--config"])
        .arg(&file)
        .arg("start")
        .env("GRAPHITE_ROOT", &root);
    let mut subject = Subject::start(&mut command, cores)?;
    subject.keep(folder);
    Ok(subject)
}
