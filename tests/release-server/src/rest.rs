//! The REST API: paths, pages, `ETag`s, redirects to the storage.

use std::io;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::http::header::{ACCEPT, AUTHORIZATION, ETAG, IF_NONE_MATCH, LINK, LOCATION};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, Response, StatusCode, Version};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use url::Url;

use crate::fault::{Fault, FaultKind};
use crate::files;
use crate::scenario::{Artifact, Asset, Release, Run, Scenario};
use crate::state::{Site, State, hex};
use crate::wire::Scissors;

/// GitHub's number for the repository, by which it is found whatever its name is.
const NUMBER: &str = "707";

/// What answers the requests to `site`.
pub(crate) fn router(state: Arc<State>, site: Site) -> Router {
    Router::new().fallback(move |request: Request| {
        let state = state.clone();
        async move {
            let answer = if request.uri().path().starts_with("/_control/") {
                control(&state, request).await
            } else {
                answer(&state, site, &request.into_parts().0)
            };
            answer.unwrap_or_else(|error| {
                let mut response = Response::new(Body::from(error.to_string()));
                *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                response
            })
        }
    })
}

/// For the program's user: change what is served, see what was asked.
async fn control(state: &State, request: Request) -> io::Result<Response<Body>> {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20)
        .await
        .map_err(io::Error::other)?;
    match (&head.method, head.uri.path()) {
        (&Method::POST, "/_control/scenario") => state.set_scenario(serde_json::from_slice(&body)?),
        (&Method::POST, "/_control/faults") => {
            state.set_faults(serde_json::from_slice::<Vec<Fault>>(&body)?);
        }
        (&Method::GET, "/_control/requests") => {
            return Ok(Response::new(serde_json::to_vec(&state.requests())?.into()));
        }
        (&Method::DELETE, "/_control/requests") => state.forget_requests(),
        _ => return status(StatusCode::NOT_FOUND),
    }
    Ok(Response::new(Body::empty()))
}

fn answer(state: &Arc<State>, site: Site, request: &Parts) -> io::Result<Response<Body>> {
    let path = request.uri.path();
    let query = request.uri.query().unwrap_or_default();
    let number = state.record(site, request);
    let faults = state.take_faults(path);
    let cut = faults.iter().find_map(|fault| match fault {
        FaultKind::Cut { after } => Some(*after),
        _ => None,
    });
    if let (Some(after), Some(ConnectInfo(scissors))) =
        (cut, request.extensions.get::<ConnectInfo<Scissors>>())
    {
        if request.version == Version::HTTP_2 {
            scissors.cut_frames(after);
        } else {
            scissors.cut(after);
        }
    }
    let response = if let Some(response) = instead(&faults, request)? {
        response
    } else {
        let asked = Asked {
            state: state.clone(),
            number,
            headers: &request.headers,
            faults: &faults,
            // Only to have path and query taken apart.
            url: Url::parse(&format!("http://host{path}?{query}")).map_err(io::Error::other)?,
        };
        // Asked as a proxy, it answers for whichever host is meant. HTTP/2 names
        // the host in any case.
        let host = request.uri.authority();
        let meant = match host.filter(|_| request.version < Version::HTTP_2) {
            Some(host) if asked.state.storage.contains(host.as_str()) => Site::Storage,
            Some(_) => Site::Api,
            None => site,
        };
        match meant {
            Site::Api => asked.api()?,
            Site::Storage => asked.storage()?,
        }
    };
    let status = response.status().as_u16();
    state.note(number, |recorded| recorded.status = status);
    Ok(response)
}

/// A fault that takes the answer's place.
fn instead(faults: &[FaultKind], request: &Parts) -> io::Result<Option<Response<Body>>> {
    for fault in faults {
        let response = match fault {
            FaultKind::Status { status, headers } => {
                let mut response = Response::builder().status(*status);
                for (name, value) in headers {
                    response = response.header(name, value);
                }
                response.body(Body::from(json!({ "message": "as asked" }).to_string()))
            }
            FaultKind::RateLimited { reset_in } => {
                let now = SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .map_err(io::Error::other)?;
                Response::builder()
                    .status(StatusCode::FORBIDDEN)
                    .header("x-ratelimit-limit", 60)
                    .header("x-ratelimit-remaining", 0)
                    .header("x-ratelimit-reset", now.as_secs() + reset_in)
                    .body(Body::from(
                        json!({ "message": "API rate limit exceeded" }).to_string(),
                    ))
            }
            FaultKind::Redirect { to } => redirect(to),
            FaultKind::RedirectLoop => redirect(&request.uri.to_string()),
            _ => continue,
        };
        return response.map(Some).map_err(io::Error::other);
    }
    Ok(None)
}

fn redirect(to: &str) -> axum::http::Result<Response<Body>> {
    Response::builder()
        .status(StatusCode::FOUND)
        .header(LOCATION, to)
        .body(Body::empty())
}

fn status(status: StatusCode) -> io::Result<Response<Body>> {
    let reason = status.canonical_reason().unwrap_or_default();
    Response::builder()
        .status(status)
        .body(Body::from(json!({ "message": reason }).to_string()))
        .map_err(io::Error::other)
}

/// A request and what is needed to answer it.
struct Asked<'a> {
    state: Arc<State>,
    number: usize,
    headers: &'a HeaderMap,
    faults: &'a [FaultKind],
    url: Url,
}

impl Asked<'_> {
    fn segments(&self) -> Vec<String> {
        self.url
            .path_segments()
            .into_iter()
            .flatten()
            .map(|segment| {
                // `form_urlencoded` decodes `+` too, which no path of ours has.
                url::form_urlencoded::parse(format!("x={segment}").as_bytes())
                    .map(|(_, value)| value.into_owned())
                    .collect()
            })
            .collect()
    }

    fn query(&self, name: &str) -> Option<String> {
        self.url
            .query_pairs()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.into_owned())
    }

    fn accepts(&self, kind: &str) -> bool {
        self.headers
            .get(ACCEPT)
            .is_some_and(|accept| accept.as_bytes() == kind.as_bytes())
    }

    fn storage(self) -> io::Result<Response<Body>> {
        let scenario = self.state.scenario();
        let segments = self.segments();
        let parts: Vec<&str> = segments.iter().map(String::as_str).collect();
        let served = match parts.as_slice() {
            ["storage", "asset", id] => match scenario.asset(id) {
                Some(asset) => self.state.served(&asset.file)?,
                None => return status(StatusCode::NOT_FOUND),
            },
            ["storage", "artifact", id] => match find_artifact(&scenario, id) {
                Some(artifact) => self.state.zip(artifact)?,
                None => return status(StatusCode::NOT_FOUND),
            },
            _ => return status(StatusCode::NOT_FOUND),
        };
        files::serve(
            self.state.clone(),
            self.number,
            served,
            self.headers,
            self.faults,
        )
    }

    fn api(self) -> io::Result<Response<Body>> {
        let scenario = self.state.scenario();
        let token = self
            .headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "));
        if token.is_some_and(|token| !scenario.tokens.iter().any(|known| known == token)) {
            return status(StatusCode::UNAUTHORIZED);
        }
        let segments = self.segments();
        let parts: Vec<&str> = segments.iter().map(String::as_str).collect();
        let rest = match parts.as_slice() {
            ["repos", owner, name, rest @ ..] => {
                let named = format!("{owner}/{name}");
                if scenario.former_name.as_ref() == Some(&named) {
                    return self.to_number(&named);
                }
                if named != scenario.repository {
                    return status(StatusCode::NOT_FOUND);
                }
                rest
            }
            ["repositories", NUMBER, rest @ ..] => rest,
            _ => return self.page_of_downloads(&scenario, &parts),
        };
        match rest {
            ["releases"] => {
                let releases: Vec<_> = scenario.releases.iter().collect();
                let (page, next) = self.page(&scenario, &releases);
                let page = page
                    .into_iter()
                    .map(|release| self.release(release))
                    .collect::<io::Result<Vec<_>>>()?;
                self.json(&page.into(), next)
            }
            ["releases", "latest"] => {
                let latest = |release: &&Release| !release.draft && !release.prerelease;
                self.maybe_release(scenario.releases.iter().find(latest))
            }
            ["releases", "tags", tag] => {
                let tagged = |release: &&Release| release.tag == *tag;
                self.maybe_release(scenario.releases.iter().find(tagged))
            }
            ["git", "matching-refs", "tags", beginning] => {
                let named =
                    |release: &&Release| !release.draft && release.tag.starts_with(beginning);
                let mut tags: Vec<_> = scenario.releases.iter().filter(named).collect();
                tags.sort_by_key(|release| &release.tag);
                let reference = |release: &&Release| {
                    let commit = [&release.commit, &release.target].map(String::as_str);
                    let commit = commit.into_iter().find(|text| !text.is_empty());
                    json!({
                        "ref": format!("refs/tags/{}", release.tag),
                        "object": { "type": "commit", "sha": commit },
                    })
                };
                self.json(&tags.iter().map(reference).collect(), None)
            }
            ["releases", "assets", id] => match scenario.asset(id) {
                Some(asset) if !self.accepts("application/octet-stream") => {
                    self.json(&self.asset(asset)?, None)
                }
                Some(_) if scenario.bulk => to_storage(&self.state.bulk, "asset", id),
                Some(_) => to_storage(&self.state.storage, "asset", id),
                None => status(StatusCode::NOT_FOUND),
            },
            ["pulls", number] => match number
                .parse()
                .ok()
                .and_then(|number: u64| scenario.pulls.iter().find(|pull| pull.number == number))
            {
                Some(pull) => {
                    let repo = &pull.head_repository;
                    let repo = (!repo.is_empty()).then(|| json!({ "full_name": repo }));
                    let head =
                        json!({ "sha": pull.head_sha, "ref": pull.head_branch, "repo": repo });
                    let body = json!({ "number": pull.number, "title": pull.title, "head": head });
                    self.json(&body, None)
                }
                None => status(StatusCode::NOT_FOUND),
            },
            ["actions", "workflows", "qemu-emulator-build.yaml", "runs"] => {
                let runs: Vec<_> = scenario.runs.iter().filter(|run| self.wants(run)).collect();
                let (page, next) = self.page(&scenario, &runs);
                let page: Vec<_> = page
                    .into_iter()
                    .map(|run| run_json(&scenario, run))
                    .collect();
                self.json(
                    &json!({ "total_count": runs.len(), "workflow_runs": page }),
                    next,
                )
            }
            ["actions", "runs", id] => match find_run(&scenario, id) {
                Some(run) => self.json(&run_json(&scenario, run), None),
                None => status(StatusCode::NOT_FOUND),
            },
            ["actions", "runs", id, "artifacts"] => match find_run(&scenario, id) {
                Some(run) => {
                    let artifacts: Vec<_> = run.artifacts.iter().collect();
                    let (page, next) = self.page(&scenario, &artifacts);
                    let page = page
                        .into_iter()
                        .map(|artifact| self.artifact(artifact))
                        .collect::<io::Result<Vec<_>>>()?;
                    let body = json!({ "total_count": artifacts.len(), "artifacts": page });
                    self.json(&body, next)
                }
                None => status(StatusCode::NOT_FOUND),
            },
            ["actions", "artifacts", id, "zip"] => match find_artifact(&scenario, id) {
                // Not even of public repositories without one.
                Some(_) if token.is_none() => status(StatusCode::UNAUTHORIZED),
                Some(artifact) if artifact.expired => status(StatusCode::GONE),
                Some(_) => to_storage(&self.state.storage, "artifact", id),
                None => status(StatusCode::NOT_FOUND),
            },
            ["commits", reference] => match scenario
                .releases
                .iter()
                .find(|release| release.tag == *reference && !release.commit.is_empty())
            {
                Some(release) => Ok(Response::new(release.commit.clone().into())),
                None => status(StatusCode::NOT_FOUND),
            },
            ["contents", path @ ..] => {
                let (path, commit) = (path.join("/"), self.query("ref").unwrap_or_default());
                let found = scenario.contents.iter().find(|content| {
                    content.path == path && (content.commit.is_empty() || content.commit == commit)
                });
                match found {
                    Some(content) => Ok(Response::new(content.text.clone().into())),
                    None => status(StatusCode::NOT_FOUND),
                }
            }
            _ => status(StatusCode::NOT_FOUND),
        }
    }

    /// As GitHub answers for a repository that was renamed or moved.
    fn to_number(&self, former_name: &str) -> io::Result<Response<Body>> {
        let path = self.url.path().trim_start_matches('/');
        let rest = path.trim_start_matches(&format!("repos/{former_name}"));
        let query = self.url.query().unwrap_or_default();
        let to = format!("{}repositories/{NUMBER}{rest}?{query}", self.state.api);
        Response::builder()
            .status(StatusCode::MOVED_PERMANENTLY)
            .header(LOCATION, to)
            .body(Body::from(
                json!({ "message": "Moved Permanently" }).to_string(),
            ))
            .map_err(io::Error::other)
    }

    /// What GitHub's pages have for browsers and scripts, at another host than the API there: files of a release by their
    /// names, those of the newest one by a redirect to its tag.
    fn page_of_downloads(&self, scenario: &Scenario, parts: &[&str]) -> io::Result<Response<Body>> {
        let of_page =
            |parts: &[&str]| parts.len() == 6 && parts[..2].join("/") == scenario.repository;
        match *parts {
            [.., "releases", "latest", "download", file] if of_page(parts) => {
                let latest = |release: &&Release| !release.draft && !release.prerelease;
                match scenario.releases.iter().find(latest) {
                    Some(Release { tag, .. }) => redirect(&format!(
                        "{}{}/releases/download/{tag}/{file}",
                        self.state.api, scenario.repository
                    ))
                    .map_err(io::Error::other),
                    None => status(StatusCode::NOT_FOUND),
                }
            }
            [.., "releases", "download", tag, file] if of_page(parts) => {
                let release = scenario.releases.iter().find(|release| release.tag == tag);
                let mut assets = release.into_iter().flat_map(|release| &release.assets);
                match assets.find(|asset| asset.name == file) {
                    Some(asset) => to_storage(&self.state.storage, "asset", &asset.id.to_string()),
                    None => status(StatusCode::NOT_FOUND),
                }
            }
            _ => status(StatusCode::NOT_FOUND),
        }
    }

    /// The page that was asked for, and whether another one follows.
    fn page<'t, T>(&self, scenario: &Scenario, all: &[&'t T]) -> (Vec<&'t T>, Option<String>) {
        let number = |name: &str| self.query(name).and_then(|text| text.parse::<usize>().ok());
        let most = match scenario.page_size {
            0 => 100,
            size => size,
        };
        let size = number("per_page").unwrap_or(30).clamp(1, most);
        let page = number("page").unwrap_or(1).max(1);
        let from = (page - 1) * size;
        let next = (from + size < all.len()).then(|| {
            format!(
                "<{}{}?page={}>; rel=\"next\"",
                self.state.api,
                &self.url.path()[1..],
                page + 1
            )
        });
        (all.iter().skip(from).take(size).copied().collect(), next)
    }

    fn json(&self, value: &Value, next: Option<String>) -> io::Result<Response<Body>> {
        let body = serde_json::to_vec(value)?;
        let etag = format!("W/\"{}\"", hex(&Sha256::digest(&body)[..16]));
        let mut response = Response::builder().header(ETAG, &etag);
        if let Some(next) = next {
            response = response.header(LINK, next);
        }
        let known = self
            .headers
            .get(IF_NONE_MATCH)
            .is_some_and(|known| known.as_bytes() == etag.as_bytes());
        if known {
            response
                .status(StatusCode::NOT_MODIFIED)
                .body(Body::empty())
        } else {
            response.body(Body::from(body))
        }
        .map_err(io::Error::other)
    }

    fn wants(&self, run: &Run) -> bool {
        self.query("head_sha").is_none_or(|sha| run.head_sha == sha)
            && self
                .query("branch")
                .is_none_or(|branch| run.head_branch == branch)
            && self
                .query("status")
                .is_none_or(|status| status == state_of(run).1.unwrap_or_default())
    }

    fn maybe_release(&self, release: Option<&Release>) -> io::Result<Response<Body>> {
        match release {
            Some(release) => self.json(&self.release(release)?, None),
            None => status(StatusCode::NOT_FOUND),
        }
    }

    fn release(&self, release: &Release) -> io::Result<Value> {
        let assets = release
            .assets
            .iter()
            .map(|asset| self.asset(asset))
            .collect::<io::Result<Vec<_>>>()?;
        // Stable, and different for different tags.
        let id = release
            .tag
            .bytes()
            .fold(7u64, |id, byte| (id * 31 + u64::from(byte)) % 1_000_007);
        Ok(json!({
            "id": id,
            "tag_name": release.tag,
            "name": release.name,
            "html_url": format!("{}releases/{}", self.state.api, release.tag),
            "draft": release.draft,
            "prerelease": release.prerelease,
            "created_at": release.published_at,
            "published_at": (!release.draft).then_some(&release.published_at),
            "target_commitish": release.target,
            "assets": assets,
        }))
    }

    fn asset(&self, asset: &Asset) -> io::Result<Value> {
        let served = self.state.served(&asset.file)?;
        let digest = asset.digest.clone().unwrap_or(served.sha256);
        Ok(json!({
            "id": asset.id,
            "name": asset.name,
            "size": asset.size.unwrap_or(served.bytes),
            "digest": (!asset.without_digest).then(|| format!("sha256:{digest}")),
            "state": if asset.uploading { "starter" } else { "uploaded" },
            "updated_at": match asset.updated_at.as_str() {
                "" => "2026-01-01T00:00:00Z",
                at => at,
            },
        }))
    }

    fn artifact(&self, artifact: &Artifact) -> io::Result<Value> {
        let served = self.state.zip(artifact)?;
        Ok(json!({
            "id": artifact.id,
            "name": artifact.name,
            "size_in_bytes": served.bytes,
            "expired": artifact.expired,
            "digest": (!artifact.without_digest).then(|| format!("sha256:{}", served.sha256)),
            "created_at": "2026-01-01T00:00:00Z",
        }))
    }
}

/// Status and conclusion.
fn state_of(run: &Run) -> (&str, Option<&str>) {
    let or = |text: &'static str, given| if str::is_empty(given) { text } else { given };
    match or("completed", &run.status) {
        "completed" => ("completed", Some(or("success", &run.conclusion))),
        status => (status, None),
    }
}

fn run_json(scenario: &Scenario, run: &Run) -> Value {
    let (status, conclusion) = state_of(run);
    let head = match run.head_repository.as_str() {
        "" => &scenario.repository,
        head => head,
    };
    json!({
        "id": run.id,
        "status": status,
        "conclusion": conclusion,
        "head_branch": run.head_branch,
        "head_sha": run.head_sha,
        "head_repository": { "full_name": head },
        "html_url": format!("https://github.example/{}/actions/runs/{}", scenario.repository, run.id),
        "created_at": run.created_at,
    })
}

fn to_storage(storage: &str, kind: &str, id: &str) -> io::Result<Response<Body>> {
    redirect(&format!("{storage}storage/{kind}/{id}?signature=once")).map_err(io::Error::other)
}

fn find_run<'a>(scenario: &'a Scenario, id: &str) -> Option<&'a Run> {
    let id: u64 = id.parse().ok()?;
    scenario.runs.iter().find(|run| run.id == id)
}

fn find_artifact<'a>(scenario: &'a Scenario, id: &str) -> Option<&'a Artifact> {
    let id: u64 = id.parse().ok()?;
    scenario
        .runs
        .iter()
        .flat_map(|run| &run.artifacts)
        .find(|artifact| artifact.id == id)
}
