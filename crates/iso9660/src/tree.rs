//! The tree of named files and folders that becomes a volume.

use std::collections::BTreeMap;

use crate::error::Error;
use crate::name;
use crate::source::Source;

/// Largest file, in bytes: a directory record holds the length of an extent in
/// 32 bits, and level 1 gives a file one extent.
pub const MAX_FILE_BYTES: u64 = u32::MAX as u64;

/// Most folders in a volume, the root included: path tables refer to a parent
/// folder by a 16-bit number that starts at 1.
pub const MAX_FOLDERS: usize = u16::MAX as usize;

/// Index into [`Tree::folders`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FolderId(pub(crate) usize);

/// Index into [`Tree::files`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileId(pub(crate) usize);

/// What a name in a folder stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Node {
    Folder(FolderId),
    File(FileId),
}

/// A named thing in a folder.
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) node: Node,
}

/// A folder; the map's key tells apart what readers tell apart.
pub(crate) struct Folder {
    parent: FolderId,
    name: String,
    entries: BTreeMap<String, Entry>,
}

/// A file and the length its directory records will state.
pub(crate) struct FileNode {
    parent: FolderId,
    name: String,
    pub(crate) bytes: u32,
    pub(crate) source: Box<dyn Source>,
}

/// All files and folders, addressed by index: as deep as memory allows without
/// recursion, and freed without it too.
pub(crate) struct Tree {
    pub(crate) folders: Vec<Folder>,
    pub(crate) files: Vec<FileNode>,
}

/// How far a path led into the tree.
struct Reached<'a> {
    folder: FolderId,
    /// Names of folders that do not exist yet.
    missing: Vec<&'a str>,
    last: &'a str,
}

impl Tree {
    pub(crate) const ROOT: FolderId = FolderId(0);

    pub(crate) fn new() -> Self {
        let root = Folder {
            parent: Self::ROOT,
            name: String::new(),
            entries: BTreeMap::new(),
        };
        Self {
            folders: vec![root],
            files: Vec::new(),
        }
    }

    /// Adds a file and the folders above it; on error the tree is unchanged.
    pub(crate) fn add_file(&mut self, path: &str, source: Box<dyn Source>) -> Result<(), Error> {
        let reached = self.walk(path)?;
        self.check_free(path, &reached)?;
        let size = source.size();
        let bytes = u32::try_from(size).map_err(|_| Error::FileTooLarge {
            path: path.to_owned(),
            bytes: size,
        })?;
        let parent = self.make_folders(path, reached.folder, &reached.missing)?;
        let id = FileId(self.files.len());
        self.files.push(FileNode {
            parent,
            name: reached.last.to_owned(),
            bytes,
            source,
        });
        self.link(parent, reached.last, Node::File(id));
        Ok(())
    }

    /// Makes sure that a folder exists; on error the tree is unchanged.
    pub(crate) fn add_folder(&mut self, path: &str) -> Result<(), Error> {
        let mut reached = self.walk(path)?;
        if reached.missing.is_empty()
            && let Some(existing) = self.lookup(reached.folder, reached.last)
            && existing.name == reached.last
            && matches!(existing.node, Node::Folder(_))
        {
            return Ok(());
        }
        self.check_free(path, &reached)?;
        reached.missing.push(reached.last);
        self.make_folders(path, reached.folder, &reached.missing)?;
        Ok(())
    }

    /// A folder's entries by name. Names have no characters beyond U+FFFF, so
    /// this is also the order of their UCS-2 codes.
    pub(crate) fn sorted_entries(&self, folder: FolderId) -> Vec<&Entry> {
        let mut entries: Vec<&Entry> = self.folders[folder.0].entries.values().collect();
        entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        entries
    }

    /// The path of something in the volume, for messages.
    pub(crate) fn path_of(&self, node: Node) -> String {
        let (mut folder, last) = match node {
            Node::File(id) => (self.files[id.0].parent, &self.files[id.0].name),
            Node::Folder(id) => (self.folders[id.0].parent, &self.folders[id.0].name),
        };
        let mut names = vec![last.as_str()];
        while folder != Self::ROOT {
            names.push(&self.folders[folder.0].name);
            folder = self.folders[folder.0].parent;
        }
        names.reverse();
        names.join("/")
    }

    /// Checks every name of `path` and follows it through existing folders.
    fn walk<'a>(&self, path: &'a str) -> Result<Reached<'a>, Error> {
        for part in path.split('/') {
            if let Some(fault) = name::fault(part) {
                return Err(Error::InvalidName {
                    path: path.to_owned(),
                    name: part.to_owned(),
                    fault,
                });
            }
        }
        let (above, last) = path.rsplit_once('/').unwrap_or(("", path));
        let mut parts = above.split('/').filter(|part| !part.is_empty());
        let mut folder = Self::ROOT;
        let mut missing = Vec::new();
        for part in parts.by_ref() {
            match self.lookup(folder, part) {
                None => {
                    missing.push(part);
                    break;
                }
                Some(entry) if entry.name != part => {
                    return Err(Error::CaseClash {
                        path: path.to_owned(),
                        existing: self.path_of(entry.node),
                    });
                }
                Some(Entry {
                    node: Node::Folder(id),
                    ..
                }) => folder = *id,
                Some(entry) => {
                    return Err(Error::NotAFolder {
                        path: path.to_owned(),
                        file: self.path_of(entry.node),
                    });
                }
            }
        }
        missing.extend(parts);
        Ok(Reached {
            folder,
            missing,
            last,
        })
    }

    fn check_free(&self, path: &str, reached: &Reached<'_>) -> Result<(), Error> {
        if !reached.missing.is_empty() {
            return Ok(());
        }
        match self.lookup(reached.folder, reached.last) {
            None => Ok(()),
            Some(entry) if entry.name == reached.last => Err(Error::Duplicate {
                path: path.to_owned(),
            }),
            Some(entry) => Err(Error::CaseClash {
                path: path.to_owned(),
                existing: self.path_of(entry.node),
            }),
        }
    }

    fn make_folders(
        &mut self,
        path: &str,
        mut folder: FolderId,
        names: &[&str],
    ) -> Result<FolderId, Error> {
        if self.folders.len() + names.len() > MAX_FOLDERS {
            return Err(Error::TooManyFolders {
                path: path.to_owned(),
            });
        }
        for name in names {
            let id = FolderId(self.folders.len());
            self.folders.push(Folder {
                parent: folder,
                name: (*name).to_owned(),
                entries: BTreeMap::new(),
            });
            self.link(folder, name, Node::Folder(id));
            folder = id;
        }
        Ok(folder)
    }

    fn lookup(&self, folder: FolderId, name: &str) -> Option<&Entry> {
        self.folders[folder.0].entries.get(&name::clash_key(name))
    }

    fn link(&mut self, folder: FolderId, name: &str, node: Node) {
        let entry = Entry {
            name: name.to_owned(),
            node,
        };
        self.folders[folder.0]
            .entries
            .insert(name::clash_key(name), entry);
    }
}
