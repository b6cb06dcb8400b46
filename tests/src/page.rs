//! Pages whose commands the tests run: their fenced blocks.

use std::collections::VecDeque;

/// What a fenced block is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `sh`: run once.
    Run,
    /// `sh each`: run on each router.
    Each,
    /// `sh until`: run until it succeeds.
    Until,
    /// `text`: only shown.
    Text,
}

/// A fenced block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// What it is for.
    pub kind: Kind,
    /// Its lines, each with its end.
    pub text: String,
}

/// The fenced blocks of a page in their order; fails on one of another kind.
#[track_caller]
pub fn blocks(page: &str) -> VecDeque<Block> {
    let mut blocks = VecDeque::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(mark) = line.strip_prefix("```") else { continue };
        let kind = match mark {
            "sh" => Kind::Run,
            "sh each" => Kind::Each,
            "sh until" => Kind::Until,
            "text" => Kind::Text,
            other => panic!("a block of {other:?}"),
        };
        let text = lines.by_ref().take_while(|line| !line.starts_with("```"));
        blocks.push_back(Block { kind, text: text.map(|line| format!("{line}\n")).collect() });
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_told_apart_by_their_marks() {
        let page = "a\n```sh\ntrue\nfalse\n```\nb\n```sh until\nx\n```\n```text\ny\n```\n```sh each\n```\n";
        let block = |kind, text: &str| Block { kind, text: text.to_owned() };
        let all = [
            block(Kind::Run, "true\nfalse\n"),
            block(Kind::Until, "x\n"),
            block(Kind::Text, "y\n"),
            block(Kind::Each, ""),
        ];
        assert_eq!(blocks(page), all);
    }
}
