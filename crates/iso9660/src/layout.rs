//! Decides where everything goes before the first byte is written.
//!
//! Order on the volume: 16 sectors of system area, the three volume
//! descriptors, two path tables for each tree, the primary folders, the Joliet
//! folders, the file contents. What a mount reads first lies together in front.

use crate::SECTOR_BYTES;
use crate::error::Error;
use crate::name;
use crate::record::{self, RECORD_HEAD_BYTES};
use crate::short_name;
use crate::tree::{Entry, FileId, FolderId, Node, Tree};

/// ECMA-119 6.2.1: sectors 0 to 15 are left to the system.
pub(crate) const SYSTEM_AREA_SECTORS: u32 = 16;
/// Primary descriptor, Joliet descriptor, terminator.
const DESCRIPTOR_SECTORS: u32 = 3;

/// A run of sectors and how many bytes of it are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Extent {
    pub(crate) sector: u32,
    pub(crate) bytes: u32,
}

/// One entry of a folder as one of the trees records it.
pub(crate) struct Child {
    pub(crate) identifier: Vec<u8>,
    pub(crate) node: Node,
}

/// A folder as one of the trees records it.
pub(crate) struct Directory {
    folder: FolderId,
    pub(crate) identifier: Vec<u8>,
    /// Index of the parent in [`DirectoryTree::directories`]; the root's is its own.
    pub(crate) parent: usize,
    pub(crate) children: Vec<Child>,
    pub(crate) extent: Extent,
}

/// One of the two trees, its folders in the order of the path table: by level,
/// then by the parent's place, then by identifier (ECMA-119 6.9.1).
pub(crate) struct DirectoryTree {
    pub(crate) directories: Vec<Directory>,
    /// Place in `directories` of each folder of the tree.
    index_of: Vec<usize>,
    pub(crate) path_table_l: Extent,
    pub(crate) path_table_m: Extent,
}

/// Where every part of the image lies.
pub(crate) struct Layout {
    pub(crate) primary: DirectoryTree,
    pub(crate) joliet: DirectoryTree,
    /// Files in the order of their contents: that of a walk through the Joliet
    /// tree, so that the image does not depend on the order of adding.
    pub(crate) file_order: Vec<FileId>,
    file_extents: Vec<Extent>,
    /// Length of the whole image.
    pub(crate) sectors: u32,
}

impl Layout {
    pub(crate) fn new(tree: &Tree) -> Result<Self, Error> {
        let mut primary = DirectoryTree::new(tree, primary_children)?;
        let mut joliet = DirectoryTree::new(tree, joliet_children)?;

        let mut cursor = Cursor(SYSTEM_AREA_SECTORS + DESCRIPTOR_SECTORS);
        primary.place_path_tables(&mut cursor)?;
        joliet.place_path_tables(&mut cursor)?;
        primary.place_directories(&mut cursor)?;
        joliet.place_directories(&mut cursor)?;

        let mut file_order = Vec::with_capacity(tree.files.len());
        let mut file_extents = vec![Extent::default(); tree.files.len()];
        for child in joliet.directories.iter().flat_map(|d| &d.children) {
            if let Node::File(id) = child.node {
                file_order.push(id);
                let bytes = tree.files[id.0].bytes;
                // A file without content keeps sector 0, which is on every
                // volume; the next free one might lie past the end.
                if bytes > 0 {
                    file_extents[id.0] = cursor.take(bytes.into())?;
                }
            }
        }
        Ok(Self {
            primary,
            joliet,
            file_order,
            file_extents,
            sectors: cursor.0,
        })
    }

    /// The extent a directory record in `tree` states for `node`.
    pub(crate) fn extent_of(&self, tree: &DirectoryTree, node: Node) -> Extent {
        match node {
            Node::File(id) => self.file_extents[id.0],
            Node::Folder(id) => tree.directories[tree.index_of[id.0]].extent,
        }
    }
}

impl DirectoryTree {
    fn new(
        tree: &Tree,
        children_of: fn(&Tree, FolderId) -> Result<Vec<Child>, Error>,
    ) -> Result<Self, Error> {
        // Breadth first, each folder's children in order, is path table order.
        let mut directories = vec![Directory {
            folder: Tree::ROOT,
            identifier: record::SELF_IDENTIFIER.to_vec(),
            parent: 0,
            children: Vec::new(),
            extent: Extent::default(),
        }];
        let mut index_of = vec![0; tree.folders.len()];
        let mut current = 0;
        while current < directories.len() {
            let children = children_of(tree, directories[current].folder)?;
            for child in &children {
                if let Node::Folder(folder) = child.node {
                    index_of[folder.0] = directories.len();
                    directories.push(Directory {
                        folder,
                        identifier: child.identifier.clone(),
                        parent: current,
                        children: Vec::new(),
                        extent: Extent::default(),
                    });
                }
            }
            directories[current].children = children;
            current += 1;
        }
        Ok(Self {
            directories,
            index_of,
            path_table_l: Extent::default(),
            path_table_m: Extent::default(),
        })
    }

    fn place_path_tables(&mut self, cursor: &mut Cursor) -> Result<(), Error> {
        let bytes = self
            .directories
            .iter()
            .map(|d| record::path_table_record_bytes(d.identifier.len()))
            .sum();
        self.path_table_l = cursor.take(bytes)?;
        self.path_table_m = cursor.take(bytes)?;
        Ok(())
    }

    fn place_directories(&mut self, cursor: &mut Cursor) -> Result<(), Error> {
        for directory in &mut self.directories {
            directory.extent = cursor.take(directory_bytes(&directory.children))?;
        }
        Ok(())
    }

    pub(crate) fn root(&self) -> &Directory {
        &self.directories[0]
    }
}

/// Bytes of a folder: whole sectors, as no record crosses from one to the next.
fn directory_bytes(children: &[Child]) -> u64 {
    let mut sectors = 1;
    // The records for the folder itself and its parent come first.
    let mut used = 2 * record::directory_record_bytes(record::SELF_IDENTIFIER.len());
    for child in children {
        let bytes = record::directory_record_bytes(child.identifier.len());
        if used + bytes > SECTOR_BYTES {
            sectors += 1;
            used = 0;
        }
        used += bytes;
    }
    sectors * SECTOR_BYTES
}

/// The next free sector.
struct Cursor(u32);

impl Cursor {
    fn take(&mut self, bytes: u64) -> Result<Extent, Error> {
        let extent = Extent {
            sector: self.0,
            bytes: u32::try_from(bytes).map_err(|_| Error::VolumeTooLarge)?,
        };
        self.0 = u32::try_from(bytes.div_ceil(SECTOR_BYTES))
            .ok()
            .and_then(|sectors| self.0.checked_add(sectors))
            .ok_or(Error::VolumeTooLarge)?;
        Ok(extent)
    }
}

fn primary_children(tree: &Tree, folder: FolderId) -> Result<Vec<Child>, Error> {
    let entries = tree.sorted_entries(folder);
    let names = short_name::assign(
        entries
            .iter()
            .map(|entry| (entry.name.as_str(), matches!(entry.node, Node::Folder(_)))),
    )
    .map_err(|exhausted| Error::ShortNamesExhausted {
        path: tree.path_of(entries[exhausted.index].node),
    })?;
    let mut named: Vec<_> = names.into_iter().zip(entries).collect();
    named.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    Ok(named
        .into_iter()
        .map(|(name, entry)| Child {
            identifier: match entry.node {
                Node::Folder(_) => name.folder_identifier(),
                Node::File(_) => name.file_identifier(),
            },
            node: entry.node,
        })
        .collect())
}

/// Joliet orders by UCS-2 code and, like `genisoimage` and `xorriso`, has no
/// separate regard for extensions; the version suffix does not take part.
#[expect(
    clippy::unnecessary_wraps,
    reason = "has the signature of primary_children"
)]
fn joliet_children(tree: &Tree, folder: FolderId) -> Result<Vec<Child>, Error> {
    let child = |entry: &Entry| Child {
        identifier: match entry.node {
            Node::Folder(_) => name::ucs2(&entry.name),
            Node::File(_) => name::ucs2(&format!("{};1", entry.name)),
        },
        node: entry.node,
    };
    Ok(tree.sorted_entries(folder).into_iter().map(child).collect())
}

const _: () = assert!(
    (RECORD_HEAD_BYTES + 2 * (crate::MAX_NAME_UNITS + ";1".len())).next_multiple_of(2)
        <= u8::MAX as usize,
    "the longest name must fit in a directory record"
);
