//! `[filter]`: the blacklist, compiled once.

use regex::bytes::Regex;

use crate::config::{
    file::{self, Leaf, Node},
    findings::{Findings, Refusal},
    path::KeyPath,
    words::quoted,
};

/// The blacklist of `[filter]`, if there is one.
pub(super) fn blacklist(
    node: Option<&Node<file::Filter>>,
    at: &KeyPath,
    findings: &mut Findings<'_>,
) -> Option<Regex> {
    let leaf = findings.table(at, node)?.blacklist.as_ref();
    let at = at.key("blacklist");
    if let Some(Node::Text(text)) = leaf
        && text.is_empty()
    {
        findings.note(&at, "the blacklist is empty, so nothing is filtered");
        return None;
    }
    findings.read(&at, leaf, regex)
}

fn regex(leaf: &Leaf) -> Result<Regex, Refusal> {
    let Node::Text(text) = leaf else {
        return Err(Refusal::Type("a regular expression as text".to_owned()));
    };
    Regex::new(text).map_err(|error| Refusal::Value(explain(text, &error)))
}

/// The error on one line; the crate draws a caret under the pattern instead of saying where.
fn explain(pattern: &str, error: &regex::Error) -> String {
    let drawn = error.to_string();
    let reason = drawn
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix("error: "))
        .map_or_else(|| drawn.replace('\n', " "), str::to_owned);
    // The pattern is drawn after four spaces; a pattern of several lines is drawn another way.
    let caret = drawn
        .lines()
        .rev()
        .find(|line| !pattern.contains('\n') && line.trim_matches([' ', '^']).is_empty())
        .and_then(|line| line.find('^'))
        .and_then(|column| column.checked_sub(4));
    let place = caret.map_or_else(String::new, |zero| format!(", at character {}", zero + 1));
    format!("{} is not a regular expression{place}: {reason}", quoted(pattern))
}
