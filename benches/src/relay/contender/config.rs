//! Configurations of Coco and of carbon-c-relay.

use std::{fmt::Write as _, net::SocketAddr, process::Command};

use crate::relay::{
    cases::quoted,
    scenario::{Input, Scenario},
    subject::Subject,
};

/// Coco's, but for the API's address.
pub(super) fn coco(scenario: &Scenario, tiers: &[&[SocketAddr]]) -> String {
    let (listen, protocol) = match scenario.input {
        input if input.is_collectd() => ("[listen]\nbind = \"127.0.0.1:0\"\n", "collectd"),
        Input::Pickles(_) => {
            ("[graphite]\nbind = \"127.0.0.1:0\"\npickle = \"127.0.0.1:0\"\n", "graphite")
        }
        _ => ("[graphite]\nbind = \"127.0.0.1:0\"\n", "graphite"),
    };
    let mut text = listen.to_owned();
    // Writing into memory does not fail.
    if let Some(blacklist) = scenario.blacklist {
        let _written = writeln!(text, "[filter]\nblacklist = '{blacklist}'");
    }
    // A few more than there are: what has been closed may not have been noticed.
    let _written = writeln!(text, "[limits]\nconnections = {}", scenario.clients + 16);
    for (at, targets) in tiers.iter().enumerate() {
        let (replicas, targets) = (scenario.replicas, quoted(targets));
        let _written = writeln!(
            text,
            "[tiers.t{at}]\nprotocol = \"{protocol}\"\nreplicas = {replicas}\ntargets = [{targets}]\n{}",
            scenario.tier
        );
    }
    text
}

/// Starts carbon-c-relay. On both cores, as its threads wait busily for each other on one; with one
/// worker, and queues that do not overflow.
pub(super) fn carbon_c_relay(
    scenario: &Scenario,
    targets: &[SocketAddr],
    port: u16,
    cores: &[usize],
) -> anyhow::Result<Subject> {
    let members: String =
        targets.iter().enumerate().map(|(at, target)| format!(" {target}=i{at}")).collect();
    let udp = format!(" 127.0.0.1:{port} proto udp");
    let udp = if scenario.input.is_datagrams() { udp.as_str() } else { "" };
    let config = format!(
        "listen type linemode 127.0.0.1:{port} proto tcp{udp};\n\
         cluster bench carbon_ch replication {}{members};\nmatch * send to bench stop;\n",
        scenario.replicas
    );
    let mut command = Command::new("carbon-c-relay");
    command.args(["-s", "-w", "1", "-q", "2500000", "-f"]);
    Subject::start_with_file(&mut command, &config, cores)
}
