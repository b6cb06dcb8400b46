//! How many series the keys of each target have, in the numbers of Coco 1.x.

use coco_router::TierView;
use serde_json::{Map, Value, json};

/// `{TARGET|total: {avg, min, max, 95e, length, sum}}` of the number of series per key.
pub(super) fn per_host(tier: &TierView) -> Value {
    let mut stats = Map::new();
    let mut total = Distribution::default();
    let targets = tier.labels.iter().zip(&tier.series_per_host).zip(&tier.singles);
    for ((target, hosts), &singles) in targets {
        let mut own = Distribution { counts: hosts.clone(), singles };
        total.counts.extend_from_slice(hosts);
        total.singles += singles;
        stats.insert(target.clone(), own.describe());
    }
    stats.insert("total".to_owned(), total.describe());
    Value::Object(stats)
}

/// Numbers of series, and how many further numbers are 1.
#[derive(Debug, Default)]
struct Distribution {
    counts: Vec<u64>,
    singles: u64,
}

impl Distribution {
    fn describe(&mut self) -> Value {
        self.counts.sort_unstable();
        let length = self.singles + u64::try_from(self.counts.len()).unwrap_or_default();
        let sum = self.singles + self.counts.iter().sum::<u64>();
        json!({
            "avg": if length == 0 { 0.0 } else { float(sum) / float(length) },
            "min": self.at(0, length),
            "max": self.at(length.saturating_sub(1), length),
            "95e": self.at(length * 95 / 100, length),
            "length": length,
            "sum": sum,
        })
    }

    /// The number at `rank`, counted from the smallest.
    fn at(&self, rank: u64, length: u64) -> u64 {
        if length == 0 {
            return 0;
        }
        // The singles come first: no count is below 1.
        rank.checked_sub(self.singles)
            .and_then(|rank| self.counts.get(usize::try_from(rank).ok()?).copied())
            .unwrap_or(1)
    }
}

#[expect(clippy::cast_precision_loss, reason = "an average for people")]
fn float(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distribution_is_described_as_in_1_x() {
        let mut all = Distribution { counts: (1..=98).collect(), singles: 2 };
        let text = all.describe().to_string();
        let wanted = r#"{"avg":48.53,"min":1,"max":98,"95e":94,"length":100,"sum":4853}"#;
        assert_eq!(text, wanted);
        let mut none = Distribution::default();
        let zeros = r#"{"avg":0.0,"min":0,"max":0,"95e":0,"length":0,"sum":0}"#;
        assert_eq!(none.describe().to_string(), zeros);
    }
}
