//! All that one router says, gathered in one go.

use std::{collections::BTreeMap, time::Duration};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::{
    args::Verify,
    ask::{Asked, Router},
    canary::{self, Canary},
};
use crate::ks::{What, history, unix_now};

/// So often a ledger that does not add up is asked for again: a sample may have been between two counts.
const LEDGER_AGAIN: usize = 2;

/// The answers of one router.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) url: String,
    /// This machine's clock when the log was asked for.
    pub(super) asked_at: f64,
    pub(super) vars: Asked,
    pub(super) livez: Result<(bool, Value), String>,
    pub(super) readyz: Result<(bool, Value), String>,
    pub(super) tiers: Asked,
    /// Before the canary, and after it; again if that one did not add up.
    pub(super) ledgers: [Asked; 2],
    /// The owners of each name of a canary.
    pub(super) owners: BTreeMap<String, Asked>,
    /// `None` if none was to be sent.
    pub(super) canary: Option<Result<Canary, String>>,
    pub(super) log: Asked,
    pub(super) history: Asked,
}

/// Asks a router everything; the one thing that it says about itself if it does not answer at all.
pub(super) fn gather(args: &Verify, url: &str, moment: Option<f64>) -> Result<Facts, String> {
    let mut router = Router::new(url);
    // Whoever does not answer this is not asked on.
    let vars = router.get("/debug/vars");
    if let Err(why) = &vars
        && ["no answer", "half an answer"].iter().any(|none| why.contains(none))
    {
        return Err(why.clone());
    }
    let (livez, readyz) = (router.probe("/livez"), router.probe("/readyz"));
    let tiers = router.get("/tiers");
    let ledger = router.get("/ledger");
    let owners = owners(&router);
    let path = history::path(args.span(unix_now(), moment), names_of_history(args));
    let history = history::ask_each_age(&path, |path| router.get(path));
    let canary = (!args.no_canary).then(|| canary::send(&mut router, &ledger, &tiers, &owners));
    router.allow(Duration::from_secs(1));
    let later = settled_ledger(&router);
    // Last, as it tells of what the canary met too.
    let since = moment.map(|moment| format!("&since={moment:.3}")).unwrap_or_default();
    let (asked_at, log) = (unix_now(), router.get(&format!("/debug/log?level=warn{since}")));
    Ok(Facts {
        url: url.to_owned(),
        asked_at,
        vars,
        livez,
        readyz,
        tiers,
        ledgers: [ledger, later],
        owners,
        canary,
        log,
        history,
    })
}

impl Facts {
    /// What it says about its process, if it does.
    pub(super) fn process(&self) -> Option<Value> {
        let process = self.vars.as_ref().ok()?.get("process")?;
        Some(process.clone())
    }
}

/// The owners of each name that a canary may have.
fn owners(router: &Router) -> BTreeMap<String, Asked> {
    let names = [canary::NAME.to_owned(), canary::HOST.to_owned(), canary::identifier()];
    let owners = names.map(|name| {
        let path = format!("/lookup?name={}", utf8_percent_encode(&name, NON_ALPHANUMERIC));
        (name, router.get(&path))
    });
    owners.into()
}

/// The ledger, asked for again if it does not add up.
fn settled_ledger(router: &Router) -> Asked {
    let mut ledger = router.get("/ledger");
    for _ in 0..LEDGER_AGAIN {
        if ledger.as_ref().map_or(true, |ledger| ledger["residual"] == 0) {
            break;
        }
        canary::pause();
        ledger = router.get("/ledger");
    }
    ledger
}

/// The series that question 4 needs, each once.
fn names_of_history(args: &Verify) -> Vec<String> {
    let all = [What::Send, What::Errors, What::Shed].map(|what| args.ks(what));
    let mut names: Vec<String> =
        all.iter().flat_map(|ks| history::names(ks.what, &ks.options)).collect();
    names.extend(["coco.listen.kernel_dropped", "coco.listen.raw"].map(str::to_owned));
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
impl Facts {
    /// Of a router that has answered nothing yet.
    pub(super) fn none(url: &str) -> Self {
        let nothing = || Err("nothing".to_owned());
        Self {
            url: url.to_owned(),
            asked_at: 0.0,
            vars: nothing(),
            livez: Err("nothing".to_owned()),
            readyz: Err("nothing".to_owned()),
            tiers: nothing(),
            ledgers: [nothing(), nothing()],
            owners: BTreeMap::new(),
            canary: None,
            log: nothing(),
            history: nothing(),
        }
    }
}
