//! What a router watches about itself, on the runtime that it was started on: the kernel's drops and its own
//! ledger each second, trouble to be summed up each minute.

use std::{collections::HashMap, sync::Arc, time::Duration};

use crate::{
    doubt,
    ledger::Ledger,
    memory,
    shared::{Reports, Shared},
    telemetry,
};

/// How often the kernel's drop counters are read and the ledger is added up.
const AUDIT_INTERVAL: Duration = Duration::from_secs(1);

/// How often trouble is summed up in the log.
const SUMMARY_INTERVAL: Duration = Duration::from_secs(60);

/// Starts all of it; it ends with the runtime.
///
/// # Panics
/// Outside a tokio runtime.
pub(crate) fn start(shared: &Arc<Shared>) {
    tokio::spawn(audit(Arc::clone(shared)));
    tokio::spawn(sum_up(Arc::clone(shared)));
    tokio::spawn(memory::keep(Arc::clone(shared)));
    tokio::spawn(doubt::watch(Arc::clone(shared)));
    #[cfg(feature = "faults")]
    crate::faults::start(shared);
}

/// Adds the ledger up each second, and says when it does not add up twice in a row, and when it does again.
async fn audit(shared: Arc<Shared>) {
    let faults = shared.registry.counter(telemetry::LEDGER_FAULTS, &[]);
    let mut ticks = tokio::time::interval(AUDIT_INTERVAL);
    let mut audits = Audits::default();
    loop {
        ticks.tick().await;
        let ledger = Ledger::audit(&shared);
        match audits.next(ledger.residual()) {
            Verdict::Good => {}
            Verdict::Mended => tracing::warn!("the ledger adds up again"),
            Verdict::Wrong => faults.add(1),
            Verdict::FoundWrong => {
                faults.add(1);
                for fault in ledger.faults() {
                    tracing::error!(fault, "the ledger does not add up, a fault of Coco");
                }
            }
        }
    }
}

/// How often in a row the ledger did not add up.
#[derive(Debug, Default)]
struct Audits {
    wrong: u32,
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// It adds up, or did so a second ago.
    Good,
    /// It has not added up twice in a row.
    FoundWrong,
    /// It still does not.
    Wrong,
    /// It does again.
    Mended,
}

impl Audits {
    fn next(&mut self, residual: u64) -> Verdict {
        let before = self.wrong;
        self.wrong = if residual == 0 { 0 } else { before.saturating_add(1) };
        match (before, self.wrong) {
            (2.., 0) => Verdict::Mended,
            (_, 0 | 1) => Verdict::Good,
            (_, 2) => Verdict::FoundWrong,
            (_, 3..) => Verdict::Wrong,
        }
    }
}

async fn sum_up(shared: Arc<Shared>) {
    let mut before = HashMap::new();
    loop {
        tokio::time::sleep(SUMMARY_INTERVAL).await;
        Reports::sum_up(&shared.registry, &mut before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_is_judged_wrong_when_it_is_so_twice() {
        let mut audits = Audits::default();
        let verdicts = [0, 3, 0, 3, 3, 3, 0, 0].map(|residual| audits.next(residual));
        use Verdict::{FoundWrong, Good, Mended, Wrong};
        assert_eq!(verdicts, [Good, Good, Good, Good, FoundWrong, Wrong, Mended, Good]);
    }
}
