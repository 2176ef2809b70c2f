//! What the page is told of releases and sources.

use images::github::Asset;

use super::*;

fn asset(name: &str, updated_at: &str) -> Asset {
    Asset {
        id: 7,
        name: name.to_owned(),
        bytes: 300,
        digest: Some(images::Sha256Digest::of(b"disk")),
        uploaded: true,
        updated_at: Some(updated_at.to_owned()),
    }
}

fn release(tag: &str, assets: Vec<Asset>) -> images::github::Release {
    images::github::Release {
        id: 1,
        tag: tag.to_owned(),
        name: tag.to_owned(),
        url: format!("https://github.com/o/r/releases/tag/{tag}"),
        draft: false,
        prerelease: true,
        latest: false,
        created_at: None,
        published_at: Some("2026-01-01T00:00:00Z".to_owned()),
        target: "dev".to_owned(),
        assets,
    }
}

#[test]
fn a_rolling_release_is_as_old_as_its_image() {
    let disk = || vec![asset("stack-emulator-amd64.qcow2", "2026-03-01T00:00:00Z")];
    let rolling = release("emulator-dev-latest", disk());
    let rolling = Release::new(&rolling, Arch::Amd64, "dev").unwrap();
    assert_eq!(rolling.published_at_ms, 1_772_323_200_000);
    assert!(rolling.rolling && rolling.latest);
    assert_eq!(rolling.commit, None);
    assert!(rolling.digest.unwrap().starts_with("sha256:"));

    let fixed = release("emulator-2026-01", disk());
    let fixed = Release::new(&fixed, Arch::Amd64, "dev").unwrap();
    assert_eq!(fixed.published_at_ms, 1_767_225_600_000);
    assert!(!fixed.rolling && !fixed.latest);
}

#[test]
fn a_release_without_an_image_for_this_machine_is_none() {
    let mut disk = asset("stack-emulator-amd64.qcow2", "2026-03-01T00:00:00Z");
    let other = release("emulator-dev-latest", vec![disk.clone()]);
    assert_eq!(Release::new(&other, Arch::Arm64, "dev"), None);
    disk.uploaded = false;
    let uploading = release("emulator-dev-latest", vec![disk]);
    assert_eq!(Release::new(&uploading, Arch::Amd64, "dev"), None);
}

#[test]
fn sources_are_the_same_after_a_round_trip() {
    for source in [
        Source::default(),
        Source::Tag("emulator-1".into()),
        Source::PullRequest(12),
        Source::Run(99),
        Source::File("/tmp/disk.qcow2".into()),
    ] {
        let wire = ImageSource::from(source.clone());
        let json = serde_json::to_value(&wire).unwrap();
        let back: ImageSource = serde_json::from_value(json).unwrap();
        assert_eq!(back.wanted(), Some(source));
    }
    assert_eq!(ImageSource::Rolling { branch: None }.wanted(), None);
}
