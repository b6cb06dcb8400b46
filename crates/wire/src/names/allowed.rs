//! The bytes that a carbon-c-relay is told to leave in names.

use super::classes::{Classes, TAGS};

/// What carbon-c-relay allows without `-c`.
const DEFAULT: &str = "-_:#";

/// The bytes that carbon-c-relay leaves in a name besides letters, digits and dots: its option `-c`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowed {
    characters: String,
    classes: Box<Classes>,
}

impl Allowed {
    /// Allows each byte of `characters`, so of `ü` the two bytes 0xc3 and 0xbc wherever they stand.
    /// With `;` among them names have no tags: all of a name is cleaned, and all of it is the key.
    /// Blanks, CR and LF are never left in a name.
    #[must_use]
    pub fn new(characters: &str) -> Self {
        let classes = Box::new(Classes::new(TAGS, characters.as_bytes()));
        Self { characters: characters.to_owned(), classes }
    }

    /// The text that this was made of.
    #[must_use]
    pub fn characters(&self) -> String {
        self.characters.clone()
    }

    pub(super) fn classes(&self) -> &Classes {
        &self.classes
    }
}

impl Default for Allowed {
    /// As carbon-c-relay does without `-c`: `-_:#`.
    fn default() -> Self {
        Self::new(DEFAULT)
    }
}

#[cfg(test)]
mod tests {
    use super::Allowed;

    #[test]
    fn tells_what_it_was_made_of() {
        assert_eq!(Allowed::default().characters(), "-_:#");
        assert_eq!(Allowed::default(), Allowed::new("-_:#"));
        for text in ["", ";", "ü", "a. \r\n"] {
            assert_eq!(Allowed::new(text).characters(), text);
        }
    }
}
