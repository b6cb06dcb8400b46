//! `probe` of a tier or of one target: how a target is asked whether it is there.

use std::path::PathBuf;

use coco_router::plan::{Address, Probe, TargetProtocol};

use super::targets::Target;
use crate::config::{
    address,
    file::Leaf,
    findings::{self, Findings, Refusal},
    path::KeyPath,
    words::quoted,
};

/// Reads a probe; an empty host in it stands for that of the target.
pub(super) fn probe(leaf: &Leaf) -> Result<Probe, Refusal> {
    let text = findings::text(leaf).map_err(|refusal| match refusal {
        Refusal::Type(_) => Refusal::Type(FORMS.to_owned()),
        Refusal::Value(_) => refusal,
    })?;
    match text.split_once(':') {
        None if text == "none" => Ok(Probe::None),
        None if text == "udp" => Ok(Probe::Udp),
        Some(("tcp", port)) => {
            let port = address::read_port(port, 1).map_err(|why| refused(&why))?;
            Ok(Probe::Tcp(Address { host: String::new(), port }))
        }
        Some(("http", url)) => http(text, url),
        Some(("https", _)) => {
            Err(Refusal::Value(format!("{}: a probe speaks plain http only", quoted(text))))
        }
        Some(("rrdcached", at)) => match at.strip_prefix("unix:") {
            Some(path) if path.starts_with('/') => Ok(Probe::RrdcachedUnix(PathBuf::from(path))),
            Some(path) => Err(Refusal::Value(format!(
                "{} is no path from the root, as in rrdcached:unix:/run/rrdcached.sock",
                quoted(path)
            ))),
            None => socket(at).map(Probe::Rrdcached),
        },
        Some(_) | None => Err(Refusal::Value(format!("{} is not {FORMS}", quoted(text)))),
    }
}

/// Gives each target its probe: its own, or that of the tier, or that of its protocol.
pub(super) fn give(
    targets: &mut [Target],
    (tier_at, of_tier): (&KeyPath, Option<&Probe>),
    protocol: TargetProtocol,
    findings: &mut Findings<'_>,
) {
    if let Some(probe) = of_tier {
        suits(probe, protocol, tier_at, findings);
    }
    for target in targets {
        if let Some(own) = &target.probe {
            suits(own, protocol, &target.at.key("probe"), findings);
        }
        let probe = target.probe.as_ref().or(of_tier).cloned();
        let host = &target.plan.address.host;
        target.plan.probe = probe.map_or_else(|| default(protocol), |probe| at(probe, host));
    }
}

/// Names a probe that the targets of a protocol cannot answer.
fn suits(probe: &Probe, protocol: TargetProtocol, at: &KeyPath, findings: &mut Findings<'_>) {
    match protocol {
        TargetProtocol::Embedded => {
            findings.fault(at, "an embedded target is in this process; leave the key out");
        }
        TargetProtocol::LineTcp | TargetProtocol::Pickle if *probe == Probe::Udp => {
            findings.fault(at, "only UDP targets can refuse a datagram; leave the key out");
        }
        TargetProtocol::Collectd
        | TargetProtocol::LineUdp
        | TargetProtocol::LineTcp
        | TargetProtocol::Pickle => {}
    }
}

const fn default(protocol: TargetProtocol) -> Probe {
    match protocol {
        TargetProtocol::Collectd | TargetProtocol::LineUdp => Probe::Udp,
        TargetProtocol::LineTcp | TargetProtocol::Pickle | TargetProtocol::Embedded => Probe::None,
    }
}

/// The probe of a target on this host.
fn at(probe: Probe, host: &str) -> Probe {
    let at = |address: Address| match address.host.is_empty() {
        true => Address { host: host.to_owned(), ..address },
        false => address,
    };
    match probe {
        Probe::Tcp(address) => Probe::Tcp(at(address)),
        Probe::Http { address, path } => Probe::Http { address: at(address), path },
        Probe::Rrdcached(address) => Probe::Rrdcached(at(address)),
        Probe::None | Probe::Udp | Probe::RrdcachedUnix(_) => probe,
    }
}

/// Reads what follows "http:".
fn http(text: &str, url: &str) -> Result<Probe, Refusal> {
    let malformed =
        || Refusal::Value(format!("{} is no URL such as http://:8080/health", quoted(text)));
    let rest = url.strip_prefix("//").ok_or_else(malformed)?;
    let (place, path) = match rest.find('/') {
        Some(slash) => rest.split_at(slash),
        None => (rest, "/"),
    };
    if place.is_empty() || !path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
        return Err(malformed());
    }
    let has_port = place.rsplit(']').next().is_some_and(|end| end.contains(':'));
    let place = if has_port { place.to_owned() } else { format!("{place}:80") };
    Ok(Probe::Http { address: socket(&place)?, path: path.to_owned() })
}

/// Reads an address to ask at; the host may be empty.
fn socket(text: &str) -> Result<Address, Refusal> {
    let address = address::listener(text).map_err(|why| refused(&why))?;
    address::read_port(&address.port.to_string(), 1).map_err(|why| refused(&why))?;
    Ok(address)
}

fn refused(why: &impl ToString) -> Refusal {
    Refusal::Value(why.to_string())
}

const FORMS: &str = "a probe: \"udp\", \"tcp:PORT\", \"http://HOST:PORT/PATH\", \"rrdcached:HOST:PORT\", \
                     \"rrdcached:unix:/PATH\" or \"none\"";
