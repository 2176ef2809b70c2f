//! A second opinion for the tests: reads a volume back from its bytes alone,
//! with nothing taken from the writer, and refuses what ECMA-119 and Joliet do
//! not allow. It panics at the first fault it finds.

#![allow(clippy::unwrap_used, clippy::expect_used, dead_code)]

use std::collections::{BTreeMap, BTreeSet};

const SECTOR: usize = 2048;

/// Everything found in one directory tree; `None` for a folder.
pub(crate) type Tree = BTreeMap<String, Option<Vec<u8>>>;

/// A volume that passed all checks.
pub(crate) struct Volume {
    pub(crate) label: String,
    /// The tree with 8.3 names, version suffixes left out.
    pub(crate) primary: Tree,
    /// The tree with full names.
    pub(crate) joliet: Tree,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Primary,
    Joliet,
}

struct Record {
    identifier: Vec<u8>,
    sector: usize,
    bytes: usize,
    is_folder: bool,
}

/// A folder met on the walk, in breadth-first order.
struct Folder {
    path: String,
    identifier: Vec<u8>,
    parent: usize,
    sector: usize,
    bytes: usize,
}

struct Walk {
    tree: Tree,
    folders: Vec<Folder>,
    /// Start and length in sectors of each folder and each non-empty file.
    extents: BTreeMap<usize, usize>,
    /// The tree without its names, equal for two views of the same files.
    shape: String,
}

/// Reads and checks a whole image.
pub(crate) fn read(image: &[u8]) -> Volume {
    assert_eq!(image.len() % SECTOR, 0, "an image is whole sectors");
    assert!(
        image[..16 * SECTOR].iter().all(|&b| b == 0),
        "the system area is unused"
    );
    let primary = descriptor(image, 16, Kind::Primary);
    let joliet = descriptor(image, 17, Kind::Joliet);
    let terminator = &image[18 * SECTOR..19 * SECTOR];
    assert_eq!(&terminator[..7], b"\xffCD001\x01");
    assert!(terminator[7..].iter().all(|&b| b == 0));
    assert_eq!(primary.label, joliet.label, "one label in both descriptors");
    assert_eq!(
        primary.walk.shape, joliet.walk.shape,
        "both trees hold the same files in the same folders"
    );

    // Folders and path tables are each tree's own, files are shared; nothing
    // lies on top of anything else and nothing past the end.
    let mut extents = primary.walk.extents.clone();
    extents.extend(&joliet.walk.extents);
    for (sector, sectors) in primary.tables.into_iter().chain(joliet.tables) {
        assert!(extents.insert(sector, sectors).is_none());
    }
    let mut free = 19;
    for (&sector, &sectors) in &extents {
        assert_eq!(sector, free, "no gaps and no overlaps");
        free = sector + sectors;
    }
    assert_eq!(
        free * SECTOR,
        image.len(),
        "the last extent ends the volume"
    );

    Volume {
        label: primary.label,
        primary: primary.walk.tree,
        joliet: joliet.walk.tree,
    }
}

struct Descriptor {
    label: String,
    tables: [(usize, usize); 2],
    walk: Walk,
}

fn descriptor(image: &[u8], sector: usize, kind: Kind) -> Descriptor {
    let d = &image[sector * SECTOR..(sector + 1) * SECTOR];
    assert_eq!(d[0], if kind == Kind::Primary { 1 } else { 2 });
    assert_eq!(&d[1..7], b"CD001\x01");
    assert_eq!(d[7], 0);
    assert!(d[72..80].iter().all(|&b| b == 0));
    assert_eq!(
        both_32(&d[80..88]) * SECTOR,
        image.len(),
        "volume space size"
    );
    match kind {
        Kind::Primary => assert!(d[88..120].iter().all(|&b| b == 0)),
        Kind::Joliet => {
            assert_eq!(&d[88..91], b"%/E", "UCS-2 level 3");
            assert!(d[91..120].iter().all(|&b| b == 0));
        }
    }
    assert_eq!(both_16(&d[120..124]), 1, "volumes in the set");
    assert_eq!(both_16(&d[124..128]), 1, "number of this volume");
    assert_eq!(both_16(&d[128..132]), SECTOR, "logical block");
    assert_eq!(le_32(&d[144..148]), 0, "no optional L path table");
    assert_eq!(be_32(&d[152..156]), 0, "no optional M path table");
    assert_eq!(usize::from(d[156]), 34, "root directory record");
    for (from, to) in [(8, 40), (190, 318), (318, 446), (446, 574), (574, 702)] {
        text(&d[from..to], kind);
    }
    assert!(d[813..829].iter().all(u8::is_ascii_digit), "creation time");
    assert_eq!(d[813..830], d[830..847], "modification time");
    assert_eq!(&d[847..864], b"0000000000000000\0", "expiration time");
    assert_eq!(&d[864..881], b"0000000000000000\0", "effective time");
    assert_eq!(d[881], 1, "file structure version");
    assert!(d[882..].iter().all(|&b| b == 0));

    let root = record(&d[156..190]);
    assert!(root.is_folder);
    assert_eq!(root.identifier, [0]);
    let walk = walk(image, &root, kind, &d[156 + 18..156 + 25]);

    let table_bytes = both_32(&d[132..140]);
    let sectors = table_bytes.div_ceil(SECTOR);
    let (l, m) = (le_32(&d[140..144]), be_32(&d[148..152]));
    check_path_table(&image[l * SECTOR..][..table_bytes], &walk, le_32, le_16);
    check_path_table(&image[m * SECTOR..][..table_bytes], &walk, be_32, be_16);
    for start in [l, m] {
        check_padding(image, start * SECTOR + table_bytes);
    }
    Descriptor {
        label: text(&d[40..72], kind),
        tables: [(l, sectors), (m, sectors)],
        walk,
    }
}

fn walk(image: &[u8], root: &Record, kind: Kind, time: &[u8]) -> Walk {
    let mut tree = Tree::new();
    let mut extents = BTreeMap::new();
    let mut folders = vec![Folder {
        path: String::new(),
        identifier: vec![0],
        parent: 0,
        sector: root.sector,
        bytes: root.bytes,
    }];
    let mut shapes: Vec<Vec<String>> = Vec::new();
    let mut current = 0;
    while current < folders.len() {
        let folder = &folders[current];
        let (path, above) = (folder.path.clone(), &folders[folder.parent]);
        let above = (above.sector, above.bytes);
        assert_ne!(folder.bytes, 0);
        assert_eq!(folder.bytes % SECTOR, 0, "folders are whole sectors");
        let sectors = folder.bytes / SECTOR;
        assert!(extents.insert(folder.sector, sectors).is_none());
        let content = &image[folder.sector * SECTOR..][..folder.bytes];
        let records = records(content, time);
        let (own, parent, rest) = (&records[0], &records[1], &records[2..]);
        assert_eq!((own.identifier.as_slice(), own.is_folder), (&[0][..], true));
        assert_eq!((own.sector, own.bytes), (folder.sector, folder.bytes));
        assert_eq!(
            (parent.identifier.as_slice(), parent.is_folder),
            (&[1][..], true)
        );
        assert_eq!((parent.sector, parent.bytes), above);
        check_order(rest, kind);
        check_unique(rest, kind);

        let mut shape = Vec::new();
        for child in rest {
            let name = name(child, kind);
            let path = if path.is_empty() {
                name
            } else {
                format!("{path}/{name}")
            };
            if child.is_folder {
                tree.insert(path.clone(), None);
                folders.push(Folder {
                    path,
                    identifier: child.identifier.clone(),
                    parent: current,
                    sector: child.sector,
                    bytes: child.bytes,
                });
                continue;
            }
            let start = child.sector * SECTOR;
            assert!(start < image.len(), "even empty files lie on the volume");
            tree.insert(path, Some(image[start..][..child.bytes].to_vec()));
            shape.push(format!("{}+{}", child.sector, child.bytes));
            if child.bytes > 0 {
                check_padding(image, start + child.bytes);
                let sectors = child.bytes.div_ceil(SECTOR);
                assert!(extents.insert(child.sector, sectors).is_none());
            }
        }
        shapes.push(shape);
        current += 1;
    }
    Walk {
        tree,
        shape: fold_shapes(&folders, shapes),
        folders,
        extents,
    }
}

/// Children come after their parents, so going backwards every folder is
/// complete when its turn comes.
fn fold_shapes(folders: &[Folder], mut shapes: Vec<Vec<String>>) -> String {
    for index in (0..folders.len()).rev() {
        let mut parts = std::mem::take(&mut shapes[index]);
        parts.sort();
        let shape = format!("[{}]", parts.join(" "));
        if index == 0 {
            return shape;
        }
        shapes[folders[index].parent].push(shape);
    }
    unreachable!("there is always a root")
}

fn records(content: &[u8], time: &[u8]) -> Vec<Record> {
    let mut found = Vec::new();
    for sector in content.chunks(SECTOR) {
        let mut rest = sector;
        while let Some(&length) = rest.first()
            && length != 0
        {
            assert!(usize::from(length) <= rest.len(), "records never straddle");
            let (own, after) = rest.split_at(length.into());
            assert_eq!(&own[18..25], time, "one time for everything");
            found.push(record(own));
            rest = after;
        }
        assert!(rest.len() < SECTOR, "no sector of a folder is empty");
        assert!(rest.iter().all(|&b| b == 0), "the rest of a sector is zero");
    }
    found
}

fn record(r: &[u8]) -> Record {
    assert_eq!(r.len() % 2, 0, "records have even lengths");
    assert_eq!(usize::from(r[0]), r.len());
    assert_eq!(r[1], 0, "no extended attributes");
    assert!(r[25] & !2 == 0, "no flag but the folder's");
    assert_eq!(&r[26..28], [0, 0], "not interleaved");
    assert_eq!(both_16(&r[28..32]), 1);
    let end = 33 + usize::from(r[32]);
    assert_eq!(end.next_multiple_of(2), r.len(), "no more than padding");
    assert!(r[end..].iter().all(|&b| b == 0));
    Record {
        identifier: r[33..end].to_vec(),
        sector: both_32(&r[2..10]),
        bytes: both_32(&r[10..18]),
        is_folder: r[25] == 2,
    }
}

/// ECMA-119 9.3 for the primary tree: stem, then extension, filled up with
/// spaces. For Joliet, numeric order of the names without version.
fn check_order(records: &[Record], kind: Kind) {
    let key = |r: &Record| -> Vec<u8> {
        match kind {
            Kind::Primary => {
                let name = name(r, kind);
                let (stem, extension) = name.split_once('.').unwrap_or((&name, ""));
                format!("{stem:8}{extension:3}").into_bytes()
            }
            Kind::Joliet if r.is_folder => r.identifier.clone(),
            Kind::Joliet => r.identifier[..r.identifier.len() - 4].to_vec(),
        }
    };
    assert!(
        records.is_sorted_by(|a, b| key(a) < key(b)),
        "records ascend"
    );
}

/// Within a folder, names differ by more than case, as readers compare them.
fn check_unique(records: &[Record], kind: Kind) {
    let names: BTreeSet<String> = records
        .iter()
        .map(|r| name(r, kind).to_ascii_lowercase())
        .collect();
    assert_eq!(names.len(), records.len());
}

/// The name as a reader shows it: without version, and without a dot that has
/// nothing after it.
fn name(record: &Record, kind: Kind) -> String {
    let id = &record.identifier;
    match kind {
        Kind::Primary => {
            let full = std::str::from_utf8(id).unwrap();
            let bare = if record.is_folder {
                full
            } else {
                full.strip_suffix(";1").expect("files have a version")
            };
            assert_eq!(
                record.is_folder,
                !bare.contains('.'),
                "only files have a dot"
            );
            let (stem, extension) = bare.split_once('.').unwrap_or((bare, ""));
            let d = |c: u8| c.is_ascii_uppercase() || c.is_ascii_digit() || c == b'_';
            assert!(stem.bytes().all(d) && extension.bytes().all(d), "{full}");
            assert!((1..=8).contains(&stem.len()), "{full}");
            assert!(extension.len() <= 3, "{full}");
            bare.strip_suffix('.').unwrap_or(bare).to_owned()
        }
        Kind::Joliet => {
            let full = ucs2(id);
            assert!(id.len() <= 2 * (103 + 2));
            let bare = if record.is_folder {
                full.as_str()
            } else {
                full.strip_suffix(";1").expect("files have a version")
            };
            assert!(!bare.contains(|c: char| c < ' ' || "*/:;?\\".contains(c)));
            assert!(!bare.is_empty());
            bare.to_owned()
        }
    }
}

fn check_path_table(
    mut table: &[u8],
    walk: &Walk,
    number_32: fn(&[u8]) -> usize,
    number_16: fn(&[u8]) -> usize,
) {
    let mut order = Vec::new();
    let mut level = vec![0];
    for (index, folder) in walk.folders.iter().enumerate() {
        let length = usize::from(table[0]);
        assert_eq!(table[1], 0, "no extended attributes");
        assert_eq!(number_32(&table[2..6]), folder.sector);
        let parent = number_16(&table[6..8]);
        assert_eq!(parent, folder.parent + 1);
        let identifier = &table[8..8 + length];
        assert_eq!(identifier, folder.identifier);
        if index > 0 {
            level.push(level[parent - 1] + 1);
            order.push((level[index], parent, identifier.to_vec()));
        }
        let padded = (8 + length).next_multiple_of(2);
        assert!(table[8 + length..padded].iter().all(|&b| b == 0));
        table = &table[padded..];
    }
    assert!(table.is_empty(), "as many records as folders");
    assert!(order.is_sorted_by(|a, b| a < b), "path tables ascend");
}

fn check_padding(image: &[u8], end: usize) {
    let padding = &image[end..end.next_multiple_of(SECTOR)];
    assert!(padding.iter().all(|&b| b == 0), "sectors end in zeros");
}

fn text(field: &[u8], kind: Kind) -> String {
    let text = match kind {
        Kind::Primary => String::from_utf8(field.to_vec()).unwrap(),
        Kind::Joliet => ucs2(field),
    };
    text.trim_end_matches(' ').to_owned()
}

fn ucs2(bytes: &[u8]) -> String {
    assert_eq!(bytes.len() % 2, 0);
    let units: Vec<u16> = bytes
        .chunks(2)
        .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
        .collect();
    assert!(
        units.iter().all(|unit| !(0xd800..0xe000).contains(unit)),
        "UCS-2 has no surrogates"
    );
    String::from_utf16(&units).unwrap()
}

fn both_32(bytes: &[u8]) -> usize {
    assert_eq!(le_32(&bytes[..4]), be_32(&bytes[4..8]), "both byte orders");
    le_32(&bytes[..4])
}

fn both_16(bytes: &[u8]) -> usize {
    assert_eq!(le_16(&bytes[..2]), be_16(&bytes[2..4]), "both byte orders");
    le_16(&bytes[..2])
}

fn le_32(bytes: &[u8]) -> usize {
    u32::from_le_bytes(bytes.try_into().unwrap()) as usize
}

fn be_32(bytes: &[u8]) -> usize {
    u32::from_be_bytes(bytes.try_into().unwrap()) as usize
}

fn le_16(bytes: &[u8]) -> usize {
    u16::from_le_bytes(bytes.try_into().unwrap()).into()
}

fn be_16(bytes: &[u8]) -> usize {
    u16::from_be_bytes(bytes.try_into().unwrap()).into()
}
