//! The questions that lead from a [`Source`] to one file.

use std::path::Path;

use progress::{Phase, Reporter, Running};

use super::{Arch, Files, Origin, ReleaseFiles, ResolveError, Resolved, Source, WORKFLOW, names};
use crate::github::{
    ApiError, Artifact, Asset, GitHub, Release, Repo, Run, RunState, RunsOf, is_commit,
};
use crate::http::HttpError;
use crate::{Sha256Digest, age};

/// Finds out which file is meant.
pub async fn resolve(
    github: &GitHub,
    repo: &Repo,
    source: &Source,
    arch: Arch,
    reporter: &dyn Reporter,
) -> Result<Resolved, ResolveError> {
    let _running = Running::begin(reporter, Phase::Resolve);
    let work = resolve_source(github, repo, source, arch);
    github.telling(reporter, work).await
}

async fn resolve_source(
    github: &GitHub,
    repo: &Repo,
    source: &Source,
    arch: Arch,
) -> Result<Resolved, ResolveError> {
    match source {
        Source::Rolling { branch } => {
            let tag = rolling_tag(branch);
            resolve_release(github, repo, &tag, Some(branch), arch).await
        }
        Source::Tag(tag) => resolve_release(github, repo, tag, None, arch).await,
        Source::PullRequest(number) => resolve_pull_request(github, repo, *number, arch).await,
        Source::Run(id) => resolve_run(github, repo, *id, arch).await,
        Source::File(path) => resolve_file(path, arch),
    }
}

/// The tag that moves along with a branch.
pub fn rolling_tag(branch: &str) -> String {
    format!("emulator-{branch}-latest")
}

async fn resolve_release(
    github: &GitHub,
    repo: &Repo,
    tag: &str,
    branch: Option<&str>,
    arch: Arch,
) -> Result<Resolved, ResolveError> {
    let release = github.release_by_tag(repo, tag).await?;
    let name = names::disk(arch);
    let disk = release
        .asset(&name)
        .cloned()
        .ok_or_else(|| ResolveError::NoAsset {
            repository: repo.clone(),
            tag: tag.to_owned(),
            name: name.clone(),
            present: release
                .assets
                .iter()
                .map(|asset| asset.name.clone())
                .collect(),
        })?;
    if !disk.uploaded {
        return Err(ResolveError::Uploading {
            tag: tag.to_owned(),
            name,
        });
    }
    let mut warnings: Vec<String> = branch
        .and_then(|branch| age_of(branch, &disk))
        .into_iter()
        .collect();
    let commit = match release_commit(github, repo, &release).await {
        Ok(commit) => Some(commit),
        Err(error) => {
            warnings.push(format!(
                "It is not known which commit the release {tag} was built from: {error}."
            ));
            None
        }
    };
    let extra = |name: String| release.asset(&name).filter(|asset| asset.uploaded).cloned();
    Ok(Resolved {
        key: key(&[
            "asset",
            github.api().as_str(),
            &repo.to_string(),
            &disk.id.to_string(),
            disk.updated_at.as_deref().unwrap_or_default(),
        ]),
        origin: Origin::Release {
            repository: repo.clone(),
            tag: release.tag.clone(),
            branch: branch.map(ToOwned::to_owned),
            asset: disk.id,
            updated_at: disk.updated_at.clone(),
            commit,
        },
        arch,
        name,
        bytes: Some(disk.bytes),
        digest: disk.digest,
        published_at: disk.updated_at.clone(),
        warnings,
        files: Files::Release(Box::new(ReleaseFiles {
            repository: repo.clone(),
            manifest: extra(names::manifest(arch)),
            base_env: extra(names::base_env(arch)),
            snapshot: extra(names::snapshot(arch)),
            disk,
        })),
    })
}

/// What is said of the newest image of `branch` where it is not new.
fn age_of(branch: &str, disk: &Asset) -> Option<String> {
    let age = age::worth_a_word(disk.updated_at.as_deref()?, host::now_ms())?;
    Some(format!(
        "The newest image of the branch {branch} is {age} old."
    ))
}

/// A release is made from a commit, or from a branch that has moved on since;
/// then its tag tells.
async fn release_commit(
    github: &GitHub,
    repo: &Repo,
    release: &Release,
) -> Result<String, ApiError> {
    if is_commit(&release.target) {
        Ok(release.target.clone())
    } else {
        github.commit(repo, &release.tag).await
    }
}

async fn resolve_pull_request(
    github: &GitHub,
    repo: &Repo,
    number: u64,
    arch: Arch,
) -> Result<Resolved, ResolveError> {
    let pull = github.pull_request(repo, number).await?;
    // The branch's name alone says little: a fork's may be called the same. Once a
    // fork is deleted, nothing tells which runs were of it.
    let is_ours =
        |run: &Run| run.head_repository.is_some() && run.head_repository == pull.head_repository;
    let of_commit = github
        .runs(repo, WORKFLOW, RunsOf::Commit(&pull.head_sha))
        .await?;
    let mut warnings = Vec::new();
    let succeeded = of_commit
        .iter()
        .find(|run| run.state == RunState::Succeeded);
    let run = if let Some(run) = succeeded {
        run.clone()
    } else {
        let of_branch = github
            .runs(repo, WORKFLOW, RunsOf::SucceededOnBranch(&pull.head_branch))
            .await?;
        let earlier = of_branch
            .into_iter()
            .find(|run| run.state == RunState::Succeeded && is_ours(run));
        let newest = of_commit.first();
        match earlier {
            Some(run) => {
                warnings.push(format!(
                    "The newest commit of pull request {number}, {}, {}; this is the build of the earlier commit {}.",
                    short(&pull.head_sha),
                    newest.map_or("has not been built".to_owned(), describe_state),
                    short(&run.head_sha),
                ));
                run
            }
            None => return Err(no_build(number, &pull.head_sha, &pull.head_branch, newest)),
        }
    };
    let artifact = find_artifact(github, repo, run.id, arch).await?;
    let origin = Origin::PullRequest {
        repository: repo.clone(),
        number,
        title: pull.title,
        run: run.id,
        branch: run.head_branch,
        commit: run.head_sha,
        artifact: artifact.id,
    };
    resolved_artifact(github, repo, arch, origin, artifact, warnings)
}

fn no_build(number: u64, commit: &str, branch: &str, newest: Option<&Run>) -> ResolveError {
    let of = format!("pull request {number}");
    match newest.map(|run| (&run.state, run.url.clone())) {
        Some((RunState::Running { status }, url)) => ResolveError::BuildRunning {
            of,
            status: status.clone(),
            url,
        },
        Some((RunState::Failed { conclusion }, url)) => ResolveError::BuildFailed {
            of,
            conclusion: conclusion.clone(),
            url,
        },
        // A successful one would have been taken.
        Some((RunState::Succeeded, _)) | None => ResolveError::NoBuild {
            number,
            commit: short(commit).to_owned(),
            branch: branch.to_owned(),
        },
    }
}

fn describe_state(run: &Run) -> String {
    match &run.state {
        RunState::Running { status } => format!("is still being built ({status}, {})", run.url),
        RunState::Succeeded => "has been built".to_owned(),
        RunState::Failed { conclusion } => {
            format!("could not be built ({conclusion}, {})", run.url)
        }
    }
}

async fn resolve_run(
    github: &GitHub,
    repo: &Repo,
    id: u64,
    arch: Arch,
) -> Result<Resolved, ResolveError> {
    let run = github.run(repo, id).await?;
    let artifact = find_artifact(github, repo, id, arch).await;
    let of = format!("workflow run {id}");
    // A run builds each processor's image by itself: one may be there before
    // the others, or although another has failed.
    let (artifact, warnings) = match (artifact, &run.state) {
        (Ok(artifact), RunState::Succeeded) => (artifact, vec![]),
        (Ok(artifact), RunState::Running { .. } | RunState::Failed { .. }) => (
            artifact,
            vec![format!(
                "The workflow run {id} {}; it has left an image all the same.",
                describe_state(&run)
            )],
        ),
        (Err(ResolveError::NoArtifact { .. }), RunState::Running { status }) => {
            return Err(ResolveError::BuildRunning {
                of,
                status: status.clone(),
                url: run.url,
            });
        }
        (Err(ResolveError::NoArtifact { .. }), RunState::Failed { conclusion }) => {
            return Err(ResolveError::BuildFailed {
                of,
                conclusion: conclusion.clone(),
                url: run.url,
            });
        }
        (Err(error), _) => return Err(error),
    };
    let origin = Origin::Run {
        repository: repo.clone(),
        run: id,
        branch: run.head_branch,
        commit: run.head_sha,
        artifact: artifact.id,
    };
    resolved_artifact(github, repo, arch, origin, artifact, warnings)
}

async fn find_artifact(
    github: &GitHub,
    repo: &Repo,
    run: u64,
    arch: Arch,
) -> Result<Artifact, ResolveError> {
    let name = names::artifact(arch);
    let artifacts = match github.artifacts(repo, run).await {
        Err(ApiError::Http(HttpError::Gone { .. })) => {
            return Err(ResolveError::Expired { run, name });
        }
        artifacts => artifacts?,
    };
    // Newest first: a run that was repeated has several of a name.
    match artifacts.iter().find(|artifact| artifact.name == name) {
        Some(artifact) if artifact.expired => Err(ResolveError::Expired { run, name }),
        Some(artifact) => Ok(artifact.clone()),
        None => Err(ResolveError::NoArtifact {
            run,
            name,
            present: artifacts
                .into_iter()
                .map(|artifact| artifact.name)
                .collect(),
        }),
    }
}

fn resolved_artifact(
    github: &GitHub,
    repo: &Repo,
    arch: Arch,
    origin: Origin,
    artifact: Artifact,
    warnings: Vec<String>,
) -> Result<Resolved, ResolveError> {
    if !github.is_authenticated() {
        return Err(ResolveError::TokenNeeded);
    }
    Ok(Resolved {
        key: key(&[
            "artifact",
            github.api().as_str(),
            &repo.to_string(),
            &artifact.id.to_string(),
        ]),
        origin,
        arch,
        name: format!("{}.zip", artifact.name),
        bytes: Some(artifact.bytes),
        digest: None,
        published_at: artifact.created_at.clone(),
        warnings,
        files: Files::Artifact {
            repository: repo.clone(),
            artifact,
        },
    })
}

fn resolve_file(path: &Path, arch: Arch) -> Result<Resolved, ResolveError> {
    let error = |source| ResolveError::File {
        path: path.to_owned(),
        source,
    };
    let absolute = path.canonicalize().map_err(error)?;
    let meta = absolute.metadata().map_err(error)?;
    if !meta.is_file() {
        return Err(error(std::io::Error::other("it is not a regular file")));
    }
    Ok(Resolved {
        key: key(&["file", &absolute.to_string_lossy(), arch.name()]),
        origin: Origin::File {
            path: absolute.clone(),
        },
        arch,
        name: absolute
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned(),
        bytes: Some(meta.len()),
        digest: None,
        published_at: None,
        warnings: vec![],
        files: Files::Local { path: absolute },
    })
}

/// A name for a folder, from parts that together mean one file.
fn key(parts: &[&str]) -> String {
    Sha256Digest::of(parts.join("\0").as_bytes()).to_string()[..32].to_owned()
}

fn short(commit: &str) -> &str {
    commit.get(..12).unwrap_or(commit)
}
