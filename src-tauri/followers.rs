//! Who follows which log, or the mails.

use std::collections::BTreeMap;
use std::sync::Mutex;

use tauri::async_runtime::JoinHandle;

use crate::activity::lock;

/// The page follows one thing at a time; one that was loaded again may have forgotten its last.
const MOST_FOLLOWERS: usize = 4;

/// Who follows what. Each is a task that ends with its channel, or when it is told to.
#[derive(Debug, Default)]
pub(crate) struct Followers(Mutex<(u32, BTreeMap<u32, JoinHandle<()>>)>);

impl Followers {
    /// Keeps the task of a follower; the oldest one gives way if there are too many.
    pub(crate) fn add(&self, task: JoinHandle<()>) -> u32 {
        let mut known = lock(&self.0);
        known.0 += 1;
        let id = known.0;
        while known.1.len() >= MOST_FOLLOWERS {
            if let Some((_, oldest)) = known.1.pop_first() {
                oldest.abort();
            }
        }
        known.1.insert(id, task);
        id
    }

    /// Ends a follower.
    pub(crate) fn remove(&self, id: u32) {
        if let Some(task) = lock(&self.0).1.remove(&id) {
            task.abort();
        }
    }
}
