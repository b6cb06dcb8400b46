//! Whether the configuration of a file is in force: its listeners, its tiers and rings.

use coco_checks::Grade;
use coco_router::plan::{ListenerPlan, ListenerProtocol};
use serde_json::Value;

use super::{
    facts::Facts,
    row::Rows,
    running::{in_force, name},
};
use crate::{check::differences, config::Config};

/// What the file asks for, and what is there.
pub(super) fn say(facts: &Facts, config: &Config, rows: &mut Rows<'_>) {
    match (&facts.tiers, &facts.ledgers[0]) {
        (Ok(tiers), Ok(ledger)) => {
            let running = tiers.as_array().cloned().unwrap_or_default();
            let mut wrong = differences(config, &running);
            let bound = in_force(ledger);
            for wanted in config.plan.listeners.iter().filter(|wanted| !is_bound(wanted, &bound)) {
                let protocol = protocol(wanted.protocol);
                wrong.push(format!("{protocol} {} is not bound", wanted.address));
            }
            let known =
                |row: &&&Value| config.plan.listeners.iter().any(|plan| is_bound(plan, &[row]));
            for row in bound.iter().filter(|row| !known(row)) {
                wrong.push(format!("{} is bound, and not in the file", name(row)));
            }
            if wrong.is_empty() {
                let text = "its listeners, tiers and rings are those of the file";
                return rows.say("config", Grade::Ok, text);
            }
            for text in wrong {
                rows.say(
                    "config",
                    Grade::Critical,
                    format!("{text}; reload it, or see to the file"),
                );
            }
        }
        (Err(why), _) | (_, Err(why)) => rows.say("config", Grade::Unknown, why),
    }
}

/// A name, and a port of the kernel's choice, can be any.
fn is_bound(plan: &ListenerPlan, bound: &[&Value]) -> bool {
    bound.iter().any(|row| {
        let address = row["address"].as_str().unwrap_or_default();
        let Ok(address) = address.parse::<std::net::SocketAddr>() else { return false };
        let host = &plan.address.host;
        let is_host = match host.parse::<std::net::IpAddr>() {
            Ok(wanted) => wanted == address.ip(),
            Err(_) if host.is_empty() => address.ip().is_unspecified(),
            Err(_) => true,
        };
        row["protocol"] == protocol(plan.protocol)
            && (plan.address.port == 0 || plan.address.port == address.port())
            && is_host
    })
}

fn protocol(protocol: ListenerProtocol) -> &'static str {
    match protocol {
        ListenerProtocol::Collectd => "collectd",
        ListenerProtocol::LineTcp => "line-tcp",
        ListenerProtocol::LineUdp => "line-udp",
        ListenerProtocol::Pickle => "pickle",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::verify::running::tests::{facts, ledger, said, worst};

    #[test]
    fn the_file_must_be_in_force() {
        let file = |bind: &str| {
            format!(
                "[graphite]\nbind = {bind:?}\n[tiers.t]\nprotocol = \"embedded\"\ntargets = [\"x\"]\n"
            )
        };
        let config = Config::parse(&file("127.0.0.1:2003"), "f").unwrap();
        let tier = json!([{
            "name": "t", "digest": config.plan.tiers[0].ring.digest().as_str(), "hash": "xxh3",
            "protocol": "embedded", "proto": "none", "key": "host", "names": "sorted-tags",
            "ids": ["x"], "targets": ["x"],
        }]);
        let bound = |address: &str| {
            let mut ledger = ledger(address, 0);
            let mut tcp = ledger["listeners"][0].clone();
            tcp["protocol"] = json!("line-tcp");
            ledger["listeners"].as_array_mut().unwrap().push(tcp);
            let ledger = Ok(ledger);
            Facts { tiers: Ok(tier.clone()), ledgers: [ledger.clone(), ledger], ..facts() }
        };
        for (wanted, there, text) in [
            ("127.0.0.1:2003", "127.0.0.1:2003", None),
            ("0.0.0.0:2003", "0.0.0.0:2003", None),
            ("127.0.0.1:0", "127.0.0.1:4711", None),
            ("localhost:2003", "127.0.0.1:2003", None),
            (
                "127.0.0.1:2003",
                "127.0.0.1:2004",
                Some("config: line-tcp 127.0.0.1:2003 is not bound"),
            ),
            (
                "127.0.0.2:2003",
                "127.0.0.1:2003",
                Some("config: line-tcp 127.0.0.2:2003 is not bound"),
            ),
        ] {
            let rows = said("", &bound(there), Some(&file(wanted)));
            match text {
                None => assert_eq!(worst(&rows).0, Grade::Ok, "{rows:?}"),
                Some(text) => {
                    assert!(
                        rows.iter().any(|(grade, words)| {
                            *grade == Grade::Critical && words.starts_with(text)
                        }),
                        "{rows:?}"
                    );
                }
            }
        }
        // A tier that is meant to have no ring is there without one.
        let mut facts = bound("127.0.0.1:2003");
        let both = facts.tiers.as_mut().unwrap().as_array_mut().unwrap();
        both.push(json!({"name": "none", "digest": null, "ids": [], "targets": []}));
        let ringless = format!(
            "{}[tiers.none]\nprotocol = \"embedded\"\ntargets = []\n",
            file("127.0.0.1:2003")
        );
        let rows = said("", &facts, Some(&ringless));
        assert_eq!(worst(&rows).0, Grade::Ok, "{rows:?}");
        let rows = said("", &facts, Some(&file("127.0.0.1:2003")));
        assert!(worst(&rows).1.contains("tier none is there, and not in the file"), "{rows:?}");
        let rows = said("", &bound("127.0.0.1:2003"), Some("[nonsense]"));
        assert_eq!(worst(&rows).0, Grade::Unknown);
    }
}
