//! The key of a build: one digest over the digests of all its inputs.

use std::path::Path;

use anyhow::{Context as _, Result};
use images::manifest::Input;
use images::{Sha256Digest, sha256_file};

/// Named inputs of a build.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inputs(Vec<Input>);

impl Inputs {
    /// Adds something by its digest.
    pub(crate) fn digest(&mut self, name: impl Into<String>, sha256: Sha256Digest) {
        self.0.push(Input {
            name: name.into(),
            sha256,
        });
    }

    /// Adds a text.
    pub(crate) fn text(&mut self, name: impl Into<String>, text: impl AsRef<[u8]>) {
        self.digest(name, Sha256Digest::of(text.as_ref()));
    }

    /// Adds the file at `path`, under a name that holds on every machine.
    pub(crate) fn file(&mut self, name: impl Into<String>, path: &Path) -> Result<()> {
        let digest =
            sha256_file(path).with_context(|| format!("cannot read {}", path.display()))?;
        self.digest(name, digest);
        Ok(())
    }

    /// Adds all inputs of another build.
    pub(crate) fn extend(&mut self, other: &Self) {
        self.0.extend_from_slice(&other.0);
    }

    /// The inputs, sorted by name.
    pub(crate) fn list(&self) -> Vec<Input> {
        let mut list = self.0.clone();
        list.sort_by(|a, b| a.name.cmp(&b.name));
        list
    }

    /// The key: does not depend on the order of adding.
    pub(crate) fn key(&self) -> Sha256Digest {
        let mut listing = String::new();
        for Input { name, sha256 } in self.list() {
            listing
                .extend([sha256.to_string(), name.len().to_string(), name].map(|part| part + "\n"));
        }
        Sha256Digest::of(listing.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs(pairs: &[(&str, &str)]) -> Inputs {
        let mut inputs = Inputs::default();
        for (name, text) in pairs {
            inputs.text(*name, text);
        }
        inputs
    }

    #[test]
    fn the_order_of_inputs_does_not_matter_but_every_name_and_text_does() {
        let key = inputs(&[("a", "1"), ("b", "2")]).key();
        assert_eq!(key, inputs(&[("b", "2"), ("a", "1")]).key());
        for other in [
            &[("a", "1")][..],
            &[("a", "2"), ("b", "1")],
            &[("a", "1"), ("c", "2")],
        ] {
            assert_ne!(key, inputs(other).key());
        }
    }

    #[test]
    fn the_key_is_the_same_on_every_machine() {
        // A change of this value makes every cached image stale: change it only with that in mind.
        assert_eq!(
            inputs(&[
                ("guest/image/dpkg.cfg", "path-exclude=/x\n"),
                ("arch", "amd64")
            ])
            .key()
            .short(),
            "87aff4e5ad99"
        );
    }
}
