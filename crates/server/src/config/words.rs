//! Words in messages: the nearest known one, lists of choices, and text quoted safely.

/// The candidate that `word` most likely meant, when one is close enough to be worth saying.
pub(super) fn nearest<'a>(word: &str, candidates: &[&'a str]) -> Option<&'a str> {
    let folded = word.to_lowercase();
    let likeness = |candidate: &str| match candidate.split('-').any(|part| part == folded) {
        true => 1.0, // "pickle" for "graphite-pickle"
        false => strsim::jaro_winkler(&folded, candidate),
    };
    candidates
        .iter()
        .map(|candidate| (likeness(candidate), *candidate))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

/// `"a", "b" or "c"`.
pub(super) fn one_of(choices: &[&str]) -> String {
    let quoted: Vec<String> = choices.iter().map(|choice| format!("\"{choice}\"")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        Some((only, _)) => only.clone(),
        None => String::new(),
    }
}

/// Text of the file between quotes: escaped, and cut where it would drown the message.
pub(super) fn quoted(text: &str) -> String {
    match text.char_indices().nth(QUOTED_CHARS_MAX) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// Jaro-Winkler: 1 is the same word; two slips in a short word stay above this, other words below.
const LIKENESS_MIN: f64 = 0.8;

/// Longer than any address or name that a person writes by hand.
const QUOTED_CHARS_MAX: usize = 80;
