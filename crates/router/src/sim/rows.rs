//! Rows of a ledger: found, added up and shown.

use super::account::Account;
use crate::ledger::{Ledger, TargetFates, TierFates};

/// The rows of a ledger, a line each.
pub(super) fn shown(ledger: &Ledger) -> String {
    let tier = |tier: &TierFates| {
        let targets = tier.targets.iter().map(target_shown).collect::<Vec<_>>();
        let (offered, due) = (tier.offered(), tier.due);
        format!("{}: due {due}, offered {offered}\n{}", tier.name, targets.join("\n"))
    };
    ledger.tiers.iter().map(tier).collect::<Vec<_>>().join("\n")
}

/// A row of the ledger as text.
pub(super) fn target_shown(row: &TargetFates) -> String {
    let shed = row.shed.iter().filter(|(_, count)| *count > 0).collect::<Vec<_>>();
    let TargetFates { label, state, offered, sent, queued, in_flight, spooled, recovered, .. } =
        row;
    let TargetFates { resent, in_doubt, taken_over, rerouted, .. } = row;
    format!(
        "  {label} {state}: offered {offered} + recovered {recovered} + taken over {taken_over} = sent {sent} \
         + queued {queued} + in flight {in_flight} + spooled {spooled} + rerouted {rerouted} + shed {shed:?}; \
         resent {resent}, in doubt {in_doubt}"
    )
}

/// What the rows of a target say, one for each address that it has had.
pub(super) fn row(ledger: &Ledger, account: &Account) -> Option<TargetFates> {
    let tier: &TierFates = ledger.tiers.iter().find(|tier| tier.name == account.tier)?;
    let rows = tier.targets.iter().filter(|target| target.id == account.id);
    rows.fold(None, |sum, row| Some(sum.map_or_else(|| row.clone(), |sum| plus(sum, row))))
}

fn plus(a: TargetFates, b: &TargetFates) -> TargetFates {
    let shed = a.shed.iter().zip(&b.shed).map(|(a, b)| (a.0, a.1 + b.1));
    TargetFates {
        label: format!("{} and {}", a.label, b.label),
        offered: a.offered + b.offered,
        sent: a.sent + b.sent,
        queued: a.queued + b.queued,
        in_flight: a.in_flight + b.in_flight,
        spooled: a.spooled + b.spooled,
        recovered: a.recovered + b.recovered,
        inherited: a.inherited + b.inherited,
        taken_over: a.taken_over + b.taken_over,
        rerouted: a.rerouted + b.rerouted,
        shed: shed.collect(),
        in_doubt: a.in_doubt + b.in_doubt,
        left_in_doubt: a.left_in_doubt + b.left_in_doubt,
        resent: a.resent + b.resent,
        ..a
    }
}
