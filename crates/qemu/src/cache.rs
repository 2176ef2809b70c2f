//! Small answers kept between runs, each in a JSON file that declares its format.
//!
//! Losing one costs a moment, so reading and writing never fail the caller; what went wrong is
//! logged.

use std::path::Path;

use record::Durability;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// No cached answer is anywhere near this long, in bytes.
const MAX_SIZE: u64 = 1024 * 1024;

#[derive(Serialize, Deserialize)]
struct Versioned<T> {
    format: u32,
    answer: T,
}

#[derive(Deserialize)]
struct Header {
    format: u32,
}

/// The cached answer, or `None` if there is none that this program wrote in this format.
pub(crate) fn load<T: DeserializeOwned>(file: &Path, format: u32) -> Option<T> {
    let size = std::fs::metadata(file).ok()?.len();
    if size > MAX_SIZE {
        tracing::warn!(?file, size, "ignoring a cache file that is far too long");
        return None;
    }
    let text = std::fs::read(file).ok()?;
    // The format is read first: the rest of another one need not parse.
    match serde_json::from_slice::<Header>(&text) {
        Ok(header) if header.format == format => {}
        _ => return None,
    }
    match serde_json::from_slice::<Versioned<T>>(&text) {
        Ok(versioned) => Some(versioned.answer),
        Err(error) => {
            tracing::warn!(?file, %error, "ignoring a damaged cache file");
            None
        }
    }
}

/// Replaces the cached answer in one step.
pub(crate) fn store<T: Serialize>(file: &Path, format: u32, answer: &T) {
    if let Err(error) = try_store(file, format, answer) {
        tracing::warn!(?file, %error, "cannot write a cache file; the question will be asked again");
    }
}

fn try_store<T: Serialize>(file: &Path, format: u32, answer: &T) -> std::io::Result<()> {
    let folder = file.parent().unwrap_or_else(|| Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut text = serde_json::to_vec_pretty(&Versioned { format, answer })?;
    text.push(b'\n');
    record::replace(file, &text, Durability::ThisBoot)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_intact_file_of_the_same_format_counts() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("new folder/answer.json");
        assert_eq!(load::<Vec<u8>>(&file, 1), None);
        store(&file, 1, &vec![1u8, 2]);
        assert_eq!(load::<Vec<u8>>(&file, 1), Some(vec![1, 2]));
        assert_eq!(load::<Vec<u8>>(&file, 2), None);
        assert_eq!(load::<String>(&file, 1), None);
        std::fs::write(&file, b"{\"format\": 1, \"answer\": [1,").unwrap();
        assert_eq!(load::<Vec<u8>>(&file, 1), None);
        std::fs::File::create(&file)
            .unwrap()
            .set_len(MAX_SIZE + 1)
            .unwrap();
        assert_eq!(load::<Vec<u8>>(&file, 1), None);
    }
}
