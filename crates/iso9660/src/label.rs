//! Volume labels that read the same in both volume descriptors.

use crate::error::{Error, LabelFault};

/// Longest volume label, in characters: the 32-byte field of the Joliet
/// descriptor holds 16 UCS-2 characters (the primary one would hold 32).
pub const MAX_LABEL_CHARS: usize = 16;

/// A label of 1 to [`MAX_LABEL_CHARS`] d-characters.
#[derive(Debug, Clone)]
pub(crate) struct Label(String);

impl Label {
    pub(crate) fn new(label: &str) -> Result<Self, Error> {
        match fault(label) {
            None => Ok(Self(label.to_owned())),
            Some(fault) => Err(Error::InvalidLabel {
                label: label.to_owned(),
                fault,
            }),
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

fn fault(label: &str) -> Option<LabelFault> {
    if label.is_empty() {
        return Some(LabelFault::Empty);
    }
    if let Some(found) = label.chars().find(|&c| !is_d_character(c)) {
        return Some(LabelFault::Character { found });
    }
    let chars = label.chars().count();
    (chars > MAX_LABEL_CHARS).then_some(LabelFault::TooLong { chars })
}

/// ECMA-119 7.4.1: the characters of level 1 names and of labels.
pub(crate) fn is_d_character(c: char) -> bool {
    matches!(c, 'A'..='Z' | '0'..='9' | '_')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn labels_of_the_product_are_accepted() {
        for label in ["STACKCFG", "CIDATA", "STACKBUNDLE", "A", "ABCDEFGHIJKLMNO_"] {
            assert_eq!(Label::new(label).unwrap().as_str(), label);
        }
    }

    #[test]
    fn labels_that_one_descriptor_could_not_hold_are_refused() {
        assert_eq!(fault(""), Some(LabelFault::Empty));
        assert_eq!(fault("cidata"), Some(LabelFault::Character { found: 'c' }));
        assert_eq!(
            fault("STACK CFG"),
            Some(LabelFault::Character { found: ' ' })
        );
        assert_eq!(fault("Ä"), Some(LabelFault::Character { found: 'Ä' }));
        assert_eq!(
            fault("ABCDEFGHIJKLMNOPQ"),
            Some(LabelFault::TooLong { chars: 17 })
        );
    }
}
