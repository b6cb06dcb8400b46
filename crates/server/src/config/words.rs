//! Words in messages: the nearest known one, lists of choices, and text quoted safely.

/// The candidate that `word` most likely meant, when one is close enough to be worth saying.
pub(super) fn nearest<'a>(word: &str, candidates: &[&'a str]) -> Option<&'a str> {
    let folded = word.to_lowercase();
    let likeness = |candidate: &str| {
        let is_slip = strsim::damerau_levenshtein(&folded, candidate) <= 1;
        let is_part = candidate.split(['-', '/']).any(|part| part == folded);
        match (is_part, is_slip) {
            (true, _) => 1.0,
            (false, true) => strsim::jaro_winkler(&folded, candidate).max(0.9),
            (false, false) => strsim::jaro_winkler(&folded, candidate),
        }
    };
    candidates
        .iter()
        .map(|candidate| (likeness(candidate), *candidate))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        // Of equal ones the first.
        .rev()
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

/// Of 0 to 1, the same word: two slips in a short word stay above this, other words below.
const LIKENESS_MIN: f64 = 0.8;

/// Longer than any address or name that a person writes by hand.
const QUOTED_CHARS_MAX: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised_and_other_words_are_not() {
        let keys = ["bind", "pickle", "receive_buffer", "graphite-pickle", "targets"];
        for (word, meant) in [
            ("bnid", Some("bind")),
            ("Bind", Some("bind")),
            ("target", Some("targets")),
            ("tragets", Some("targets")),
            ("recieve_bufer", Some("receive_buffer")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, &keys), meant, "{word}");
        }
        assert_eq!(nearest("pickle", &["graphite", "graphite-pickle"]), Some("graphite-pickle"));
        assert_eq!(nearest("Graphite", &["graphite", "graphite-pickle"]), Some("graphite"));
        let hashes = ["carbon/carbon_ch", "carbon/fnv1a_ch", "c-relay/carbon_ch"];
        assert_eq!(nearest("carbon_ch", &hashes), Some("carbon/carbon_ch"));
    }

    #[test]
    fn lists_read_as_people_write_them() {
        assert_eq!(one_of(&[]), "");
        assert_eq!(one_of(&["a"]), "\"a\"");
        assert_eq!(one_of(&["a", "b", "c"]), "\"a\", \"b\" or \"c\"");
    }

    #[test]
    fn quoted_text_is_harmless_and_short() {
        assert_eq!(quoted("a\u{1b}[31m\n"), "\"a\\u{1b}[31m\\n\"");
        let cut = quoted(&"\u{e4}".repeat(1000));
        assert_eq!(cut.chars().count(), QUOTED_CHARS_MAX + 3);
    }
}
