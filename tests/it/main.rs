//! Integration tests: the real binary with real peers, one promise per module.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests")]

/// What becomes of samples that are sent to prove that each listener reaches its owners.
mod canary;
/// Recorded datagrams come out of Coco as real collectd decodes them.
mod captures;
/// Names have the owners that carbon's own routers give them.
mod carbon_route;
/// The command line: its output, its exit codes, and that it agrees with the running process.
mod cli;
/// Who comes from Coco 1.x keeps files, placement and dashboards.
mod coco1x;
/// The files for collectd do what they say, with real agents.
mod collectd_files;
/// The definitions for Consul, run as Consul would.
mod consul;
/// The image for containers, built by hand.
mod container;
/// Connections to targets that end in mid-line.
mod cuts;
/// What a connection loses is sent again on the next one.
mod delivery;
/// What Coco says about a name, a ring and its series is the same wherever it is asked.
mod explain;
/// One faulty target of three: the others lose nothing and wait for nothing.
mod faults;
/// The build for tests, which has faults on demand.
mod faulty;
/// The shipped configuration in a real HAProxy, under traffic.
mod haproxy;
/// Probes, verdicts, and loops to ourselves.
mod health;
/// The checks: what they find in a running Coco, and what they say when nobody answers well.
mod ks;
/// The chart for Kubernetes: rendered, valid, and what Coco takes.
mod kubernetes;
/// The dependency rule between the crates.
mod layering;
/// Bad lines and connections harm nobody.
mod lines;
/// The newest lines of the log, as `/debug/log` shows them.
mod log;
/// Bad datagrams harm nobody.
mod malformed;
/// Full queues share the memory that there is.
mod memory;
/// A carbon-c-relay is replaced under traffic, and no series moves.
mod migration;
/// Prometheus, its rules, and Grafana's dashboard speak of what Coco exports.
mod observe;
/// A real storage node is away for a while.
mod outage;
/// The Debian package on a machine that boots: its whole life, its papers, its completions.
mod package;
/// The real package by the stages of a delivery, on a machine that boots, and back.
mod package_stages;
/// The papers name what is there, and keep to their length.
mod papers;
/// The peers alone, with no Coco between them: what the other tests build on.
mod peers;
/// What moves between two configurations, as the command line tells it.
mod plan;
/// Too many clients, too much to log, no descriptor, no disk, no memory, no name.
mod pressure;
/// 10,000 names through carbon-c-relay and through Coco.
mod real_c_relay;
/// 20,000 names through Coco into real carbon.
mod real_carbon;
/// Real agents through Coco into real storage nodes.
mod real_collectd;
/// Lines that other relays were asked about, through the running router.
mod relay_lines;
/// Another configuration comes into force under traffic, and nobody who stays notices.
mod reload;
/// The same under a flood.
mod reload_flood;
/// The runbooks do what they say.
mod runbooks;
/// Queues that go on on disk: over restarts, kills, outages, damage.
mod spool;
/// What is on disk when the configuration changes under it, or a crash has torn it.
mod spool_change;
/// How fast it comes back, and what becomes of it when targets change.
mod spool_replay;
/// The stages of a delivery: upgraded under load and back, and stopped where they must.
mod stages;
/// A stop reads and sends what there is, and ends in time.
mod stop;
/// rsyslog reads the log as it is.
mod syslog;
/// What systemd is told, and the sockets that it has bound.
mod systemd;
/// collectd's traffic generator through Coco.
mod tg;
/// The tour of the README does what it says.
mod tour;
/// Slow, dead and deaf targets, full queues, stopping, and what the kernel drops.
mod trouble;
/// Another process takes over under traffic, and no connection is closed.
mod upgrade;
/// After a deploy: what four questions find in one Coco or two, and what each seeded fault is called.
mod verify;
