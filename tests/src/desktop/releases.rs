//! The repository that the app sees: one release, which is the image under test.

use std::path::Path;

use release_server::{Asset, Release, Scenario, Server};

use crate::{World, image};

/// What the release is called.
pub const RELEASE: &str = "Emulator of today";
/// Where its disk image is downloaded from.
pub const DISK: &str = "/storage/asset/1";

/// Serves the release, and has `world` ask there.
///
/// # Panics
/// If nothing can be served on the loopback.
pub fn publish(world: &mut World) -> Server {
    let (disk, manifest) = (image(), image().with_extension("json"));
    let asset = |id, file: &Path| Asset {
        id,
        name: file
            .file_name()
            .and_then(|name| name.to_str())
            .expect("a file with a name")
            .to_owned(),
        file: file.to_owned(),
        ..Asset::default()
    };
    let commit = "4b825dc642cb6eb9a060e54bf8d69288fbee4904".to_owned();
    let server = Server::start(Scenario {
        repository: "stack-auth/stack-auth".to_owned(),
        releases: vec![Release {
            tag: "emulator-dev-latest".to_owned(),
            name: RELEASE.to_owned(),
            prerelease: true,
            published_at: "2026-11-20T08:00:00Z".to_owned(),
            target: commit.clone(),
            commit,
            assets: vec![asset(1, &disk), asset(2, &manifest)],
            ..Release::default()
        }],
        ..Scenario::default()
    })
    .expect("a server on the loopback");
    world.set("STACK_EMULATOR_GITHUB_API", server.api());
    server
}
