//! `releases`, `pull`, `images`: one engine call each, and its report.

use emulator::prune::PruneRequest;
use emulator::pull::PullRequest;
use images::github::Repo;

use super::Context;
use crate::arguments::ImagesArguments;
use crate::exit::Exit;
use crate::failure::Failure;

pub(super) async fn releases(
    context: &Context<'_>,
    repository: Option<&Repo>,
) -> Result<Exit, Failure> {
    let releases = Box::pin(context.emulator.releases(repository, &context.progress));
    let list = context.abandonable(async { Ok(releases.await?) }).await?;
    context.output.report(&list)?;
    Ok(Exit::Success)
}

pub(super) async fn pull(context: &Context<'_>, request: &PullRequest) -> Result<Exit, Failure> {
    let work = Box::pin(context.emulator.pull(request, &context.progress));
    let report = context.guarded(work).await?;
    context.output.report(&report)?;
    Ok(Exit::Success)
}

pub(super) async fn run(context: &Context<'_>, command: ImagesArguments) -> Result<Exit, Failure> {
    match command {
        ImagesArguments::List => list(context),
        ImagesArguments::Use { name, .. } => choose(context, name.as_deref()).await,
        ImagesArguments::Remove { name } => remove(context, &name).await,
        ImagesArguments::Prune {
            all,
            limit,
            archive_after,
        } => {
            let request = PruneRequest {
                all,
                limit_bytes: limit,
                archive_after_days: archive_after,
            };
            prune(context, request).await
        }
    }
}

fn list(context: &Context<'_>) -> Result<Exit, Failure> {
    context.output.report(&context.emulator.images()?)?;
    Ok(Exit::Success)
}

async fn choose(context: &Context<'_>, image: Option<&str>) -> Result<Exit, Failure> {
    let work = async {
        match image {
            Some(image) => context.emulator.use_image(image, &context.progress).await,
            None => context.emulator.use_no_image(&context.progress).await,
        }
    };
    let report = context.guarded(Box::pin(work)).await?;
    context.output.report(&report)?;
    Ok(Exit::Success)
}

async fn remove(context: &Context<'_>, image: &str) -> Result<Exit, Failure> {
    let work = Box::pin(context.emulator.remove_image(image, &context.progress));
    let report = context.guarded(work).await?;
    context.output.report(&report)?;
    Ok(Exit::Success)
}

async fn prune(context: &Context<'_>, request: PruneRequest) -> Result<Exit, Failure> {
    let work = Box::pin(context.emulator.prune(request, &context.progress));
    let report = context.guarded(work).await?;
    context.output.report(&report)?;
    Ok(Exit::Success)
}
