//! What a check found: faults, notes, and the readers that turn a value into one or the other.

use std::{ops::RangeInclusive, time::Duration};

use super::{
    document::Document,
    error::Fault,
    file::{Leaf, Node},
    path::KeyPath,
    units, words,
};

/// Collects faults and notes with the line of each.
#[derive(Debug)]
pub(super) struct Findings<'d> {
    document: &'d Document<'d>,
    faults: Vec<Placed>,
    notes: Vec<Placed>,
}

/// A fault or note with its offset in the text, by which it is sorted.
type Placed = (Option<usize>, Fault);

/// Why a reader refused a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It is of another type; this one was expected.
    Type(String),
    /// It is of the right type, and this is wrong with it.
    Value(String),
}

impl<'d> Findings<'d> {
    /// Nothing found yet.
    pub(super) fn new(document: &'d Document<'d>) -> Self {
        Self { document, faults: Vec::new(), notes: Vec::new() }
    }

    /// The file that is being checked.
    pub(super) fn document(&self) -> &'d Document<'d> {
        self.document
    }

    /// Something to correct.
    pub(super) fn fault(&mut self, at: &KeyPath, message: impl Into<String>) {
        let fault = self.place(at, message.into());
        self.faults.push(fault);
    }

    /// Something worth knowing that stops nobody.
    pub(super) fn note(&mut self, at: &KeyPath, message: impl Into<String>) {
        let note = self.place(at, message.into());
        self.notes.push(note);
    }

    /// A value of a type that does not belong there.
    pub(super) fn wrong_type(&mut self, at: &KeyPath, expected: &str) {
        let kind = self.document.kind(at);
        self.fault(at, format!("expected {expected}, found {kind}"));
    }

    /// How many faults there are so far; a part that added none is whole.
    pub(super) fn fault_count(&self) -> usize {
        self.faults.len()
    }

    /// The notes, or else the faults; both in the order of their lines.
    pub(super) fn finish(self) -> Result<Vec<Fault>, Vec<Fault>> {
        let good = self.faults.is_empty();
        let mut found = if good { self.notes } else { self.faults };
        // Stable: what is found at one place stays in the order of the checks.
        found.sort_by_key(|(offset, _)| *offset);
        let found = found.into_iter().map(|(_, finding)| finding).collect();
        if good { Ok(found) } else { Err(found) }
    }

    /// The table that stands at `at`, if one does.
    pub(super) fn table<'f, T>(
        &mut self,
        at: &KeyPath,
        node: Option<&'f Node<T>>,
    ) -> Option<&'f T> {
        match node? {
            Node::Table(table) => Some(table),
            Node::Text(_) | Node::Integer(_) | Node::List(_) | Node::Flag(_) | Node::Float(_) => {
                self.wrong_type(at, &format!("a table, [{at}]"));
                None
            }
        }
    }

    /// Reads one value; `None` when it is missing or was refused.
    pub(super) fn read<'f, T>(
        &mut self,
        at: &KeyPath,
        leaf: Option<&'f Leaf>,
        reader: impl FnOnce(&'f Leaf) -> Result<T, Refusal>,
    ) -> Option<T> {
        match reader(leaf?) {
            Ok(value) => Some(value),
            Err(Refusal::Type(expected)) => {
                self.wrong_type(at, &expected);
                None
            }
            Err(Refusal::Value(message)) => {
                self.fault(at, message);
                None
            }
        }
    }

    /// Reads one value or an array of them, each with its own path.
    pub(super) fn read_each<'f, T>(
        &mut self,
        at: &KeyPath,
        leaf: Option<&'f Leaf>,
        reader: impl Fn(&'f Leaf) -> Result<T, Refusal>,
    ) -> Vec<(KeyPath, T)> {
        let values: Vec<(KeyPath, &'f Leaf)> = match leaf {
            None => return Vec::new(),
            Some(Node::List(list)) if list.is_empty() => {
                self.fault(at, "the array is empty; give one or more, or leave the key out");
                return Vec::new();
            }
            Some(Node::List(list)) => {
                list.iter().enumerate().map(|(index, leaf)| (at.index(index), leaf)).collect()
            }
            Some(one) => vec![(at.clone(), one)],
        };
        let read = |(at, leaf): (KeyPath, &'f Leaf)| {
            let value = self.read(&at, Some(leaf), &reader)?;
            Some((at, value))
        };
        values.into_iter().filter_map(read).collect()
    }

    fn place(&self, at: &KeyPath, message: String) -> Placed {
        let offset = self.document.offset(at);
        let line = offset.map(|offset| self.document.line(offset));
        (offset, Fault { path: at.to_string(), line, message })
    }
}

/// Reads text that is not empty.
pub(super) fn text(leaf: &Leaf) -> Result<&str, Refusal> {
    match leaf {
        Node::Text(text) if text.is_empty() => Err(Refusal::Value("the text is empty".to_owned())),
        Node::Text(text) => Ok(text),
        Node::Integer(_) | Node::List(_) | Node::Table(_) | Node::Flag(_) | Node::Float(_) => {
            Err(Refusal::Type("text".to_owned()))
        }
    }
}

/// Reads the text of an address that looks like `example`.
pub(super) fn address_text<'f>(leaf: &'f Leaf, example: &str) -> Result<&'f str, Refusal> {
    text(leaf).map_err(|refusal| match refusal {
        Refusal::Type(_) => Refusal::Type(format!("an address such as \"{example}\"")),
        Refusal::Value(_) => refusal,
    })
}

/// Reads a name that can be printed on one line: text without control characters.
pub(super) fn name(leaf: &Leaf) -> Result<String, Refusal> {
    let name = text(leaf)?;
    if name.chars().any(char::is_control) {
        return Err(Refusal::Value(format!("{} has a control character", words::quoted(name))));
    }
    Ok(name.to_owned())
}

/// Reads `true` or `false`.
pub(super) fn flag(leaf: &Leaf) -> Result<bool, Refusal> {
    match leaf {
        Node::Flag(flag) => Ok(*flag),
        Node::Text(_) | Node::Integer(_) | Node::List(_) | Node::Table(_) | Node::Float(_) => {
            Err(Refusal::Type("true or false".to_owned()))
        }
    }
}

/// Reads a whole number within `range`.
pub(super) fn integer(range: RangeInclusive<u64>) -> impl Fn(&Leaf) -> Result<u64, Refusal> {
    move |leaf| match leaf {
        Node::Integer(number) => match number.parse() {
            Ok(number) if range.contains(&number) => Ok(number),
            Ok(_) | Err(_) => Err(Refusal::Value(format!(
                "{number} is not in {}..{}",
                range.start(),
                range.end()
            ))),
        },
        Node::Text(_) | Node::List(_) | Node::Table(_) | Node::Flag(_) | Node::Float(_) => {
            Err(Refusal::Type(format!("a whole number in {}..{}", range.start(), range.end())))
        }
    }
}

/// Reads a size within `range`: whole bytes, or text with a unit.
pub(super) fn size(range: RangeInclusive<u64>) -> impl Fn(&Leaf) -> Result<usize, Refusal> {
    move |leaf| {
        let (bytes, seen) = match leaf {
            Node::Integer(number) => (number.parse().ok(), number.clone()),
            Node::Text(_) => {
                let text = text(leaf)?;
                let bytes = units::size(text).map_err(|why| {
                    Refusal::Value(format!("{} is not a size: {why}", words::quoted(text)))
                })?;
                (Some(bytes), text.to_owned())
            }
            Node::List(_) | Node::Table(_) | Node::Flag(_) | Node::Float(_) => {
                return Err(Refusal::Type("a size such as \"64MiB\"".to_owned()));
            }
        };
        bytes
            .filter(|bytes| range.contains(bytes))
            .and_then(|bytes| usize::try_from(bytes).ok())
            .ok_or_else(|| {
                let (low, high) =
                    (units::show_size(*range.start()), units::show_size(*range.end()));
                Refusal::Value(format!("{seen} is not in {low}..{high}"))
            })
    }
}

/// Reads a duration of more than nothing and no more than a day.
pub(super) fn duration(leaf: &Leaf) -> Result<Duration, Refusal> {
    let duration = duration_or_none(leaf)?;
    if duration.is_zero() {
        let text = words::quoted(text(leaf)?);
        return Err(Refusal::Value(format!("{text} must be more than zero")));
    }
    Ok(duration)
}

/// Reads a duration of no more than a day.
pub(super) fn duration_or_none(leaf: &Leaf) -> Result<Duration, Refusal> {
    let Node::Text(_) = leaf else {
        return Err(Refusal::Type("text with a unit, such as \"10s\"".to_owned()));
    };
    let text = text(leaf)?;
    let duration = units::duration(text).map_err(|why| {
        Refusal::Value(format!("{} is not a duration: {why}", words::quoted(text)))
    })?;
    if duration > DURATION_MAX {
        return Err(Refusal::Value(format!("{} is more than 24h", words::quoted(text))));
    }
    Ok(duration)
}

/// Reads one of a few words.
pub(super) fn choice<T: Copy>(
    choices: &'static [(&'static str, T)],
) -> impl Fn(&Leaf) -> Result<T, Refusal> {
    move |leaf| {
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        let Node::Text(seen) = leaf else {
            return Err(Refusal::Type(words::one_of(&names)));
        };
        if let Some((_, value)) = choices.iter().find(|(name, _)| name == seen) {
            return Ok(*value);
        }
        let guess = words::nearest(seen, &names)
            .map_or_else(String::new, |name| format!("; did you mean \"{name}\"?"));
        let names = words::one_of(&names);
        Err(Refusal::Value(format!("{} is not {names}{guess}", words::quoted(seen))))
    }
}

/// No setting needs more than a day, and sums of times stay far from overflow.
const DURATION_MAX: Duration = Duration::from_secs(24 * 60 * 60);
