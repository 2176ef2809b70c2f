//! What `releases`, `pull` and `images` show.

use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use emulator::installed::{ImageEntry, ImageList, ImageSnapshot, PlacedImage, RemoveReport, Tie};
use emulator::prune::{Archived, PruneReport, Removed};
use emulator::pull::{PullOutcome, PullReport, ReleaseList};
use emulator::retention::Item;
use emulator::{Remedy, UseReport};
use images::fetch::Verification;
use images::github::Release;
use images::source::Origin;
use images::store::{Damaged, Installed};

use super::style::{BAD, CAUTION, FAINT, GOOD, STRONG};
use super::text::{Facts, pad, paint, printable, widest};
use crate::output::{Detail, Render};
use crate::remedy::words;
use emulator::quantity::{bytes, seconds, span};

// Writing to a string cannot fail, so the results of `writeln!` are dropped.
impl Render for ReleaseList {
    fn render(&self, _: Detail) -> String {
        let repository = printable(&self.repository.to_string());
        if self.releases.is_empty() {
            let starter = self.starter_in.as_ref().map_or_else(String::new, |own| {
                let remedy = Remedy::PullStarter {
                    repository: Some(own.to_string()),
                };
                words(&remedy) + "\n"
            });
            return format!("{repository} has no releases with images.\n{starter}");
        }
        let tags: Vec<_> = self
            .releases
            .iter()
            .map(|release| printable(&release.tag))
            .collect();
        let width = widest(tags.iter().map(String::as_str));
        let mut text = format!("{}\n\n", paint(STRONG, &repository));
        for (release, tag) in self.releases.iter().zip(&tags) {
            let (date, images) = (date(release), images_of(release));
            let kind = kind(release);
            let _ = writeln!(text, "  {}  {date}  {images}{kind}", pad(tag, width));
        }
        if let Some(age) = self.worrying_age() {
            let _ = writeln!(text, "\nThe newest image is {age} old.");
        }
        text.push_str("\nPull one with `stack-emulator pull --tag TAG`, or the latest of the default branch\nwith `stack-emulator pull`.\n");
        text
    }
}

/// The day, which comes first in GitHub's form of a time.
fn date(release: &Release) -> String {
    let published = release.published_at.as_deref().unwrap_or("unpublished");
    pad(
        &printable(published.split('T').next().unwrap_or_default()),
        11,
    )
}

fn images_of(release: &Release) -> String {
    let disks = release.assets.iter().filter_map(|asset| {
        let arch = asset
            .name
            .strip_prefix("stack-emulator-")?
            .strip_suffix(".qcow2")?;
        Some(format!("{} {}", printable(arch), bytes(asset.bytes)))
    });
    let disks: Vec<_> = disks.collect();
    if disks.is_empty() {
        paint(FAINT, "no image")
    } else {
        disks.join(", ")
    }
}

fn kind(release: &Release) -> String {
    let kinds = [
        (release.draft, CAUTION, "draft"),
        (release.prerelease, FAINT, "pre-release"),
        (release.latest, GOOD, "latest"),
    ];
    let mut text = String::new();
    for (_, style, name) in kinds.iter().filter(|(is, ..)| *is) {
        text.push_str("  ");
        text.push_str(&paint(*style, name));
    }
    text
}

impl Render for PullReport {
    fn render(&self, detail: Detail) -> String {
        let mut text = String::new();
        let name = printable(&title(&self.image));
        let done = match self.outcome {
            PullOutcome::Installed => paint(GOOD, "Installed"),
            PullOutcome::AlreadyInstalled => paint(GOOD, "Already installed"),
        };
        let received = match (self.received_bytes, self.bytes_per_second) {
            (0, _) | (_, None) => String::new(),
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a rate for people"
            )]
            (received, Some(rate)) => {
                format!(
                    ", {} downloaded at {}/s",
                    bytes(received),
                    bytes(rate as u64)
                )
            }
        };
        let _ = writeln!(
            text,
            "{done}: {name}{received}, in {}.",
            seconds(self.total_ms)
        );
        let mut facts = Facts::default();
        image_facts(&self.image, detail, &mut facts);
        text.push_str(&facts.render());
        match (&self.snapshot, &self.not_chosen_because) {
            (_, Some(reason)) => {
                let label = paint(CAUTION, "Not selected:");
                let _ = writeln!(text, "{label} {}.", printable(reason));
                if self.session_in_the_way {
                    let _ = writeln!(
                        text,
                        "To discard that session and select the image, run `stack-emulator stop --discard`, \
                         then `stack-emulator images use {}`.",
                        self.image.digest.short()
                    );
                }
            }
            (Some(snapshot), None) => {
                let _ = writeln!(
                    text,
                    "The next start resumes its snapshot ({} on disk, after a cold boot of {}).",
                    bytes(snapshot.snapshot.bytes_on_disk),
                    seconds(snapshot.snapshot.cold_boot_ms)
                );
            }
            (None, None) => text.push_str("The next start uses this image.\n"),
        }
        if let Some(tidied) = &self.tidied
            && (!tidied.removed.is_empty()
                || !tidied.archived.is_empty()
                || tidied.over_limit_bytes > 0)
        {
            text.push_str(&tidied.render(detail));
        }
        text
    }
}

/// What the image is called: by the newest name that stands for it, or else by
/// the name it came under.
fn title(image: &Installed) -> String {
    match image.references.first() {
        Some(reference) => reference.name.clone(),
        None => format!("{} (superseded)", image.origin.label()),
    }
}

fn image_facts(image: &Installed, detail: Detail, facts: &mut Facts) {
    let digest = match detail {
        Detail::Brief => image.digest.short(),
        Detail::Full => image.digest.to_string(),
    };
    facts.add("Digest", format!("{digest}, {}", verified(image.verified)));
    let origins = image
        .references
        .iter()
        .map(|reference| origin(&reference.origin));
    let mut origins: Vec<_> = origins.collect();
    if origins.is_empty() {
        origins.push(origin(&image.origin));
    }
    facts.add_lines("From", origins);
    facts.add(
        "On disk",
        format!("{}, {}", bytes(image.bytes_on_disk), image.arch),
    );
    if image.needs_outside {
        facts.add_lines(
            "Network",
            vec![
                "open by default: it can connect to the internet and to servers on this host;"
                    .to_owned(),
                "`stack-emulator settings set network closed` prevents that".to_owned(),
            ],
        );
    }
}

fn origin(origin: &Origin) -> String {
    let commit = origin.commit().map_or(String::new(), |commit| {
        let short: String = commit.chars().take(9).collect();
        format!(", commit {}", printable(&short))
    });
    let text = match origin {
        Origin::Release {
            repository, tag, ..
        } => format!("release {tag} of {repository}"),
        Origin::PullRequest {
            repository,
            number,
            title,
            run,
            ..
        } => {
            format!("pull request {number} of {repository} ({title}), workflow run {run}")
        }
        Origin::Run {
            repository,
            run,
            branch,
            ..
        } => {
            format!("workflow run {run} of {repository}, branch {branch}")
        }
        Origin::File { path } => format!("the file {}", path.display()),
    };
    format!("{}{commit}", printable(&text))
}

fn verified(verification: Verification) -> String {
    match verification {
        Verification::Release => "matches the release".to_owned(),
        Verification::Artifact => "matches the artifact".to_owned(),
        Verification::Manifest => "matches the image's manifest".to_owned(),
        Verification::Unverified => paint(CAUTION, "not verified: no digest was published"),
    }
}

impl Render for ImageList {
    fn render(&self, detail: Detail) -> String {
        let mut text = String::new();
        for entry in &self.images {
            text.push_str(&image(entry, detail));
            text.push('\n');
        }
        if let Some(placed) = &self.placed {
            text.push_str(&placed_image(placed));
            text.push('\n');
        }
        for damaged in &self.damaged {
            text.push_str(&damaged_image(damaged));
            text.push('\n');
        }
        if text.is_empty() {
            text.push_str(
                "No images yet. `stack-emulator pull` installs one, and so does the first start.\n\n",
            );
        }
        if self.checkpoint_bytes > 0 {
            let _ = writeln!(text, "Checkpoints: {}.", bytes(self.checkpoint_bytes));
        }
        if self.interrupted_bytes > 0 {
            let _ = writeln!(
                text,
                "Unfinished downloads: {}. Pull again to continue, or delete them with `stack-emulator images prune`.",
                bytes(self.interrupted_bytes)
            );
        }
        let limit = self
            .cache_limit_bytes
            .map_or(String::new(), |limit| format!(", limit {}", bytes(limit)));
        let _ = writeln!(text, "Total on disk: {}{limit}.", bytes(self.bytes_on_disk));
        text
    }
}

fn image(entry: &ImageEntry, detail: Detail) -> String {
    let name = paint(STRONG, &printable(&title(&entry.image)));
    let chosen = if entry.chosen {
        format!("  {}", paint(GOOD, "selected"))
    } else {
        String::new()
    };
    let mut facts = Facts::default();
    image_facts(&entry.image, detail, &mut facts);
    facts.add_lines("Snapshots", entry.snapshots.iter().map(snapshot).collect());
    let users: Vec<_> = entry
        .uses
        .iter()
        .map(|used| {
            let how = match used.tie {
                Tie::Chosen => "selected it",
                Tie::Checkpoint => "has checkpoints of it",
                Tie::Session => "has a saved session on it",
                Tie::Running => "is running it",
            };
            format!("{} {how}", used.instance)
        })
        .collect();
    facts.add_lines("Used by", users);
    let used = entry.image.last_used_at_ms.map_or("never".to_owned(), ago);
    facts.add("Last use", used);
    format!("{name}{chosen}\n{}", facts.render())
}

fn snapshot(snapshot: &ImageSnapshot) -> String {
    let compressed = if snapshot.archived {
        ", compressed"
    } else {
        ""
    };
    format!(
        "of {}: {}{compressed}, used {}",
        snapshot.instance,
        bytes(snapshot.bytes_on_disk),
        ago(snapshot.last_used_at_ms)
    )
}

fn placed_image(placed: &PlacedImage) -> String {
    let chosen = if placed.chosen {
        format!("  {}", paint(GOOD, "selected"))
    } else {
        String::new()
    };
    let mut facts = Facts::default();
    facts.add("File", printable(&placed.path.display().to_string()));
    facts.add("On disk", bytes(placed.bytes_on_disk));
    let name = paint(STRONG, "placed by hand");
    format!("{name}{chosen}\n{}", facts.render())
}

fn damaged_image(damaged: &Damaged) -> String {
    let mut facts = Facts::default();
    facts.add("Digest", damaged.digest.short());
    facts.add("Reason", printable(&damaged.damage));
    facts.add("On disk", bytes(damaged.bytes_on_disk));
    format!("{}\n{}", paint(BAD, "damaged"), facts.render())
}

/// `3 min ago`.
pub(crate) fn ago(at_ms: u64) -> String {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let now = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    format!("{} ago", span(now.saturating_sub(at_ms)))
}

impl Render for UseReport {
    fn render(&self, _: Detail) -> String {
        let Some(image) = &self.image else {
            return "No image is selected: the next start uses the image used last, or pulls one.\n".to_owned();
        };
        let then = if self.has_snapshot {
            "resumes its snapshot"
        } else {
            "takes a snapshot of it first"
        };
        format!(
            "{}: {} ({}); the next start {then}.\n",
            paint(GOOD, "Selected"),
            printable(&title(image)),
            image.digest.short()
        )
    }
}

impl Render for RemoveReport {
    fn render(&self, _: Detail) -> String {
        let snapshots = match self.snapshots {
            0 => String::new(),
            1 => " and its snapshot".to_owned(),
            several => format!(" and its {several} snapshots"),
        };
        format!(
            "{}: {}{snapshots} ({} freed).\n",
            paint(GOOD, "Removed"),
            self.digest.short(),
            bytes(self.freed_bytes)
        )
    }
}

impl Render for PruneReport {
    fn render(&self, _: Detail) -> String {
        let mut text = String::new();
        if self.interrupted_bytes > 0 {
            let _ = writeln!(
                text,
                "Removed unfinished downloads: {}.",
                bytes(self.interrupted_bytes)
            );
        }
        for Removed { item, freed_bytes } in &self.removed {
            let what = match item {
                Item::Image { digest } => format!("image {}", digest.short()),
                Item::Prepared { instance } => format!("the prepared start of {instance}"),
                Item::Snapshot { instance, .. } => format!("a snapshot of {instance}"),
                Item::Checkpoint {
                    instance,
                    checkpoint,
                } => format!("the checkpoint {checkpoint} of instance {instance}"),
                Item::Archive { instance, .. } => format!("a compressed snapshot of {instance}"),
            };
            let _ = writeln!(text, "Removed {what}: {}.", bytes(*freed_bytes));
        }
        for Archived {
            instance,
            before_bytes,
            after_bytes,
            ..
        } in &self.archived
        {
            let _ = writeln!(
                text,
                "Compressed a snapshot of {instance}: {} to {}.",
                bytes(*before_bytes),
                bytes(*after_bytes)
            );
        }
        if text.is_empty() {
            text.push_str("Nothing to remove.\n");
        } else {
            let _ = writeln!(
                text,
                "{} {} in {}.",
                paint(GOOD, "Freed"),
                bytes(self.freed_bytes),
                seconds(self.total_ms)
            );
        }
        if self.over_limit_bytes > 0 {
            let _ = writeln!(
                text,
                "{} {} above the limit: everything that is left is in use.",
                paint(CAUTION, "Still"),
                bytes(self.over_limit_bytes)
            );
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use images::github::Repo;
    use images::source::Arch;
    use images::store::Reference;
    use images::{FileStamp, Sha256Digest};

    use super::super::text::plain;
    use super::*;

    #[test]
    fn a_repository_without_images_leads_to_the_starter_s() {
        let list = |starter_in: Option<&str>| ReleaseList {
            repository: Repo::default(),
            releases: vec![],
            starter_in: starter_in.map(|own| own.parse().unwrap()),
            rate_limit: None,
        };
        let text = |starter_in| list(starter_in).render(Detail::Brief);
        assert!(text(Some("a/b")).contains("`stack-emulator pull --repo a/b`"));
        assert_eq!(text(None).lines().count(), 1);
    }

    fn release(tag: &str) -> Origin {
        Origin::Release {
            repository: Repo::default(),
            tag: tag.to_owned(),
            branch: None,
            asset: 1,
            updated_at: None,
            commit: Some("4b825dc642cb6eb9a060e54bf8d69288fbee4904".to_owned()),
        }
    }

    fn installed(tags: &[&str]) -> Installed {
        let digest = Sha256Digest::of(b"image");
        let reference = |tag: &&str| Reference {
            name: (*tag).to_owned(),
            arch: Arch::Amd64,
            digest,
            origin: release(tag),
            verified: Verification::Release,
            updated_at_ms: 0,
        };
        Installed {
            digest,
            arch: Arch::Amd64,
            path: "/images/a.qcow2".into(),
            bytes: 7,
            bytes_on_disk: 205_000_000,
            origin: release("t-0"),
            verified: Verification::Release,
            needs_outside: true,
            references: tags.iter().map(reference).collect(),
            added_at_ms: 0,
            last_used_at_ms: None,
            stamp: FileStamp {
                device: 0,
                inode: 0,
                bytes: 7,
                modified_ns: 0,
            },
        }
    }

    fn entry(tags: &[&str]) -> ImageEntry {
        ImageEntry {
            image: installed(tags),
            chosen: true,
            uses: vec![],
            snapshots: vec![],
        }
    }

    fn list(images: Vec<ImageEntry>) -> ImageList {
        ImageList {
            images,
            damaged: vec![],
            placed: None,
            interrupted_bytes: 0,
            checkpoint_bytes: 0,
            bytes_on_disk: 205_000_000,
            cache_limit_bytes: Some(20_000_000_000),
        }
    }

    #[test]
    fn an_image_shows_where_it_came_from_and_what_it_takes() {
        let digest = Sha256Digest::of(b"image").short();
        assert_eq!(
            plain(&list(vec![entry(&["t-1", "t-2"])]).render(Detail::Brief)),
            format!(
                "t-1  selected\n  \
                 Digest    {digest}, matches the release\n  \
                 From      release t-1 of stack-auth/stack-auth, commit 4b825dc64\n\
                 {:12}release t-2 of stack-auth/stack-auth, commit 4b825dc64\n  \
                 On disk   205 MB, amd64\n  \
                 Network   open by default: it can connect to the internet and to servers on this host;\n\
                 {:12}`stack-emulator settings set network closed` prevents that\n  \
                 Last use  never\n\n\
                 Total on disk: 205 MB, limit 20.0 GB.\n",
                "", ""
            )
        );
        let superseded = plain(&list(vec![entry(&[])]).render(Detail::Brief));
        assert!(
            superseded.starts_with("t-0 (superseded)  selected\n"),
            "{superseded}"
        );
    }

    #[test]
    fn an_empty_store_says_how_to_fill_it() {
        let text = plain(&list(vec![]).render(Detail::Brief));
        assert!(text.contains("`stack-emulator pull`"), "{text}");
    }

    #[test]
    fn what_came_from_elsewhere_cannot_steer_the_terminal() {
        let text = list(vec![entry(&["evil\u{1b}[2J"])]).render(Detail::Brief);
        assert!(!text.contains("\u{1b}[2J"), "{text:?}");
    }

    #[test]
    fn what_cannot_be_freed_is_said() {
        let report = PruneReport {
            over_limit_bytes: 1_000_000,
            ..PruneReport::default()
        };
        assert_eq!(
            plain(&report.render(Detail::Brief)),
            "Nothing to remove.\nStill 1.00 MB above the limit: everything that is left is in use.\n"
        );
    }
}
