//! Figures for people: counts, shares, bars.

/// A count with a comma between thousands.
pub(super) fn count(count: impl TryInto<u64>) -> String {
    let digits = count.try_into().unwrap_or(u64::MAX).to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count and what is counted: `1 target`, `2 targets`.
pub(super) fn counted(number: impl TryInto<u64>, what: &str) -> String {
    let number = number.try_into().unwrap_or(u64::MAX);
    format!("{} {what}{}", count(number), if number == 1 { "" } else { "s" })
}

/// A share of 0..=1 in percent; what is above 0 is never shown as 0.
pub(super) fn percent(share: f64) -> String {
    match share * 100.0 {
        small if small > 0.0 && small < 0.005 => "<0.01 %".to_owned(),
        percent => format!("{percent:.2} %"),
    }
}

/// A part of a whole, 0..=1; 0 of nothing.
#[expect(clippy::cast_precision_loss, reason = "a share for people")]
pub(super) fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// A bar of `share` of `width` columns, in eighths of a column; what is above 0 is seen.
pub(super) fn bar(share: f64, width: usize) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let steps = u32::try_from(width).unwrap_or(u32::MAX).saturating_mul(8);
    let reached = |step: &u32| (f64::from(*step) - 0.5) / f64::from(steps) <= share;
    let eighths = (1..=steps).take_while(reached).count();
    let eighths = if share > 0.0 { eighths.max(1) } else { 0 };
    "█".repeat(eighths / 8) + EIGHTHS[eighths % 8] // a remainder by 8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_commas() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_048_576, "1,048,576")] {
            assert_eq!(count(number), text);
        }
        assert_eq!(
            (counted(1_u64, "target"), counted(2_u64, "target")),
            ("1 target".into(), "2 targets".into())
        );
    }

    #[test]
    fn shares_are_percents() {
        for (share, text) in
            [(0.0, "0.00 %"), (1e-9, "<0.01 %"), (1.0 / 11.0, "9.09 %"), (1.0, "100.00 %")]
        {
            assert_eq!(percent(share), text);
        }
    }

    #[test]
    fn bars_are_as_long_as_their_share() {
        assert_eq!(bar(0.0, 10), "");
        assert_eq!(bar(1.0, 4), "████");
        assert_eq!(bar(0.5, 5), "██▌");
        assert_eq!(bar(1e-6, 10), "▏");
    }
}
