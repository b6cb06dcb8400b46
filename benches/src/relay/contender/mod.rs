//! Who is measured, and how each is started for a scenario.

mod carbon;
mod config;

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{bail, ensure};

use super::{
    bare,
    cases::Context,
    feed::pause,
    machine::first_line,
    scenario::{Input, Scenario},
    subject::{Coco, Subject},
};

pub use carbon::version as carbon_version;

/// Long enough for a start on a busy machine.
const START_MAX: Duration = Duration::from_secs(20);

/// A router.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Contender {
    /// Coco.
    Coco,
    /// The least that a router has to do.
    Bare,
    /// carbon-c-relay of the distribution.
    CarbonCRelay,
    /// carbon-relay.py of PyPI.
    CarbonPy,
}

/// A contender that runs.
#[derive(Debug)]
pub struct Running {
    /// Where it takes the scenario's input.
    pub address: SocketAddr,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Coco(Coco),
    Bare(Subject),
    Peer(Subject),
}

impl Contender {
    /// Its name in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Coco => "coco",
            Self::Bare => "bare",
            Self::CarbonCRelay => "carbon-c-relay",
            Self::CarbonPy => "carbon.py",
        }
    }

    /// Why it cannot be measured here, if it cannot.
    pub fn missing(self) -> Option<String> {
        match self {
            Self::Coco | Self::Bare => None,
            Self::CarbonCRelay => first_line("carbon-c-relay", &["-v"])
                .is_none()
                .then(|| "carbon-c-relay is not installed".to_owned()),
            Self::CarbonPy => {
                let program = carbon::program(carbon::RELAY);
                (!program.is_file()).then(|| {
                    format!("carbon.py is not at {}; ./test installs it", program.display())
                })
            }
        }
    }

    /// How much less it is fed than a quick one.
    pub fn slowness(self) -> u64 {
        match self {
            Self::Coco | Self::Bare => 1,
            Self::CarbonCRelay => 10,
            Self::CarbonPy => 100,
        }
    }

    /// It must not lose anything.
    pub fn is_ours(self) -> bool {
        matches!(self, Self::Coco | Self::Bare)
    }

    /// Starts it, with these targets for each tier.
    ///
    /// # Errors
    /// It cannot be started, or does not do what the scenario asks for.
    pub fn start(
        self,
        context: &Context,
        scenario: &Scenario,
        tiers: &[&[SocketAddr]],
    ) -> anyhow::Result<Running> {
        let both = context.cores.both();
        let cores = if scenario.both_cores { both.as_slice() } else { &both[..1] };
        let targets = tiers.first().copied().unwrap_or_default();
        match self {
            Self::Coco => {
                let config = config::coco(scenario, tiers);
                let mut coco = Coco::start_on(context.coco.as_ref(), &config, cores)?;
                let address = coco.process.address(&["listening", scenario.input.listener()])?;
                Ok(Running { address, kind: Kind::Coco(coco) })
            }
            Self::Bare => bare_loop(context, scenario, targets, cores),
            Self::CarbonCRelay => {
                let port = free_port()?;
                peer(config::carbon_c_relay(scenario, targets, port, &both)?, port)
            }
            Self::CarbonPy => {
                let ports = [free_port()?, free_port()?];
                let subject = carbon::start(scenario, targets, ports, cores)?;
                let [line, pickle] = ports;
                let is_pickle = matches!(scenario.input, Input::Pickles(_));
                peer(subject, if is_pickle { pickle } else { line })
            }
        }
    }
}

impl Running {
    /// Its process.
    pub fn process(&self) -> &Subject {
        match &self.kind {
            Kind::Coco(coco) => &coco.process,
            Kind::Bare(subject) | Kind::Peer(subject) => subject,
        }
    }

    /// Coco, if that is what it is.
    pub fn coco(&self) -> Option<&Coco> {
        match &self.kind {
            Kind::Coco(coco) => Some(coco),
            Kind::Bare(_) | Kind::Peer(_) => None,
        }
    }

    /// Positions among all `targets` of those that should get `key`; `None` if it does not tell.
    ///
    /// # Errors
    /// It does not answer with targets.
    pub fn owners(
        &self,
        key: &[u8],
        targets: &[SocketAddr],
    ) -> anyhow::Result<Option<BTreeSet<usize>>> {
        match &self.kind {
            Kind::Coco(coco) => coco.owners(key, targets).map(Some),
            Kind::Bare(_) => Ok(Some(BTreeSet::from([bare::owner(key)]))),
            Kind::Peer(_) => Ok(None),
        }
    }
}

fn bare_loop(
    context: &Context,
    scenario: &Scenario,
    targets: &[SocketAddr],
    cores: &[usize],
) -> anyhow::Result<Running> {
    let what = match scenario.input {
        Input::Lines(_) if scenario.clients == 1 => "bare-lines",
        Input::Collectd => "bare-datagrams",
        other => bail!("there is no bare loop for {other:?}"),
    };
    let mut command = Command::new(&context.bench);
    command.arg(what).args(targets.iter().map(SocketAddr::to_string));
    let mut subject = Subject::start(&mut command, cores)?;
    let address = subject.address(&["listening"])?;
    Ok(Running { address, kind: Kind::Bare(subject) })
}

/// A peer, as soon as it takes connections at its port.
fn peer(mut subject: Subject, port: u16) -> anyhow::Result<Running> {
    let address = (Ipv4Addr::LOCALHOST, port).into();
    let deadline = Instant::now() + START_MAX;
    while TcpStream::connect(address).is_err() {
        ensure!(!subject.has_ended()?, "it ends at its start");
        ensure!(Instant::now() < deadline, "it does not listen");
        pause(Duration::from_millis(5));
    }
    Ok(Running { address, kind: Kind::Peer(subject) })
}

/// For those that do not tell which port the kernel chose.
fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
