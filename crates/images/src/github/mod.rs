//! The few questions that GitHub's REST API is asked.
//!
//! Answers are typed, sized and paged; listings are kept with their `ETag`, so
//! that asking again costs no rate limit. Addresses of files are built from
//! their numbers and never taken from an answer, so that a mirror needs to
//! rewrite nothing and no answer can send the token elsewhere.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use progress::Reporter;
use reqwest::StatusCode;
use reqwest::header::{ACCEPT, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH, LINK};
use serde::de::DeserializeOwned;
use url::Url;

use crate::http::{Http, HttpError, Retry, connection, host_of};
use crate::token::Token;

mod cache;
mod error;
mod releases;
mod repeats;
mod types;
mod wire;

use cache::Cache;
pub use error::ApiError;
use repeats::Repeats;
pub use types::{
    Artifact, Asset, ParseRepoError, PullRequest, RateLimit, Release, Repo, Run, RunState,
};
use wire::{ArtifactsWire, PullRequestWire, ReferenceWire, ReleaseWire, RunWire, RunsWire};

/// The public API.
pub const PUBLIC_API: &str = "https://api.github.com/";
/// Answers above this many bytes are refused; a page of 100 releases has about 1 MB.
const MAX_ANSWER: usize = 32 << 20;
/// Files read by [`GitHub::content`] above this many bytes are refused.
const MAX_CONTENT: usize = 1 << 20;
/// Pages of 100 that are read of one list.
const MAX_PAGES: u32 = 10;
const PER_PAGE: &str = "100";

/// How to reach GitHub.
#[derive(Clone, Debug)]
pub struct Options {
    /// Base of the REST API, [`PUBLIC_API`] if `None`.
    pub api: Option<Url>,
    /// Who asks; sent to the API's origin alone.
    pub token: Option<Token>,
    /// Folder for answers; without one, none are kept.
    pub cache: Option<PathBuf>,
    /// Patience with a server that stumbles.
    pub retry: Retry,
    /// A connection on which nothing arrives for this long is given up.
    pub idle: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            api: None,
            token: None,
            cache: None,
            retry: Retry::default(),
            idle: Duration::from_secs(30),
        }
    }
}

/// A client for the REST API.
#[derive(Clone, Debug)]
pub struct GitHub {
    http: Http,
    cache: Option<Cache>,
    /// What the newest answer said.
    rate_limit: Arc<Mutex<Option<RateLimit>>>,
    repeats: Repeats,
}

/// Which runs of a workflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunsOf<'a> {
    /// Those that built this commit, however they ended.
    Commit(&'a str),
    /// Those on a branch of this name, in whichever repository, that succeeded.
    SucceededOnBranch(&'a str),
}

impl GitHub {
    /// A client; connects to nothing yet.
    pub fn new(options: Options) -> Result<Self, ApiError> {
        let api = match options.api {
            Some(url) => url,
            None => Url::parse(PUBLIC_API).map_err(|_| ApiError::Base {
                url: PUBLIC_API.into(),
            })?,
        };
        let plain = api.username().is_empty()
            && api.password().is_none()
            && api.query().is_none()
            && api.fragment().is_none();
        if !matches!(api.scheme(), "http" | "https") || !api.has_host() || !plain {
            // Without what may be a password.
            return Err(ApiError::Base {
                url: format!("{}://{}{}", api.scheme(), host_of(&api), api.path()),
            });
        }
        Ok(Self {
            http: Http::new(api, options.token, options.retry, options.idle)?,
            cache: options.cache.map(Cache::new),
            rate_limit: Arc::default(),
            repeats: Repeats::default(),
        })
    }

    /// Does `work`, which asks this client, and tells `reporter` of each question
    /// that is asked again.
    pub async fn telling<T>(&self, reporter: &dyn Reporter, work: impl Future<Output = T>) -> T {
        self.repeats.telling(reporter, work).await
    }

    /// How much more may be asked, as the newest answer had it. `None` before
    /// the first, and if the server does not count.
    pub fn rate_limit(&self) -> Option<RateLimit> {
        *self
            .rate_limit
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn note_rate_limit(&self, headers: &HeaderMap) {
        if let Some(told) = rate_limit_in(headers) {
            *self
                .rate_limit
                .lock()
                .unwrap_or_else(PoisonError::into_inner) = Some(told);
        }
    }

    /// Whether a token goes along.
    pub fn is_authenticated(&self) -> bool {
        self.http.is_authenticated()
    }

    pub(crate) fn api(&self) -> &Url {
        self.http.api()
    }

    pub(crate) fn http(&self) -> &Http {
        &self.http
    }

    /// The pull request `number`.
    pub async fn pull_request(&self, repo: &Repo, number: u64) -> Result<PullRequest, ApiError> {
        let url = self.url(repo, &["pulls", &number.to_string()]);
        let what = format!("pull request {number} of {repo}");
        let (wire, _) = self.json::<PullRequestWire>(&url, &what).await?;
        Ok(wire.into())
    }

    /// Runs of the workflow in the file `workflow`, newest first.
    pub async fn runs(
        &self,
        repo: &Repo,
        workflow: &str,
        of: RunsOf<'_>,
    ) -> Result<Vec<Run>, ApiError> {
        let mut url = self.url(repo, &["actions", "workflows", workflow, "runs"]);
        match of {
            RunsOf::Commit(sha) => url.query_pairs_mut().append_pair("head_sha", sha),
            RunsOf::SucceededOnBranch(branch) => url
                .query_pairs_mut()
                .append_pair("branch", branch)
                .append_pair("status", "success"),
        };
        let what = format!("runs of the workflow {workflow} of {repo}");
        let mut runs: Vec<Run> = self
            .pages(&url, &what, |page: RunsWire| page.workflow_runs)
            .await?
            .into_iter()
            .map(Run::from)
            .collect();
        runs.sort_by(|a, b| (&b.created_at, b.id).cmp(&(&a.created_at, a.id)));
        Ok(runs)
    }

    /// The run `id`.
    pub async fn run(&self, repo: &Repo, id: u64) -> Result<Run, ApiError> {
        let url = self.url(repo, &["actions", "runs", &id.to_string()]);
        let what = format!("workflow run {id} of {repo}");
        let (wire, _) = self.json::<RunWire>(&url, &what).await?;
        Ok(wire.into())
    }

    /// What the run `id` has left, newest first.
    pub async fn artifacts(&self, repo: &Repo, id: u64) -> Result<Vec<Artifact>, ApiError> {
        let url = self.url(repo, &["actions", "runs", &id.to_string(), "artifacts"]);
        let what = format!("artifacts of the workflow run {id} of {repo}");
        let mut artifacts: Vec<Artifact> = self
            .pages(&url, &what, |page: ArtifactsWire| page.artifacts)
            .await?
            .into_iter()
            .map(Artifact::from)
            .collect();
        artifacts.sort_by_key(|artifact| std::cmp::Reverse(artifact.id));
        Ok(artifacts)
    }

    /// The full name of the commit that the tag or branch `reference` is at.
    pub async fn commit(&self, repo: &Repo, reference: &str) -> Result<String, ApiError> {
        let url = self.url(repo, &["commits", reference]);
        let what = format!("commit {reference} of {repo}");
        let accept = HeaderValue::from_static("application/vnd.github.sha");
        let body = self.bytes(&url, &what, accept, MAX_CONTENT).await?;
        std::str::from_utf8(&body)
            .ok()
            .map(str::trim)
            .filter(|text| is_commit(text))
            .map(ToOwned::to_owned)
            .ok_or_else(|| ApiError::NotACommit {
                host: host_of(&url),
                what,
            })
    }

    /// The file at `path` (with `/` between its parts) as of `commit`.
    pub async fn content(
        &self,
        repo: &Repo,
        path: &str,
        commit: &str,
    ) -> Result<Vec<u8>, ApiError> {
        let mut parts = vec!["contents"];
        parts.extend(path.split('/'));
        let mut url = self.url(repo, &parts);
        url.query_pairs_mut().append_pair("ref", commit);
        let what = format!("file {path} in {repo} at {commit}");
        let accept = HeaderValue::from_static("application/vnd.github.raw+json");
        self.bytes(&url, &what, accept, MAX_CONTENT).await
    }

    /// Where the asset `id` is downloaded from.
    pub(crate) fn asset_url(&self, repo: &Repo, id: u64) -> Url {
        self.url(repo, &["releases", "assets", &id.to_string()])
    }

    /// Where the artifact `id` is downloaded from.
    pub(crate) fn artifact_url(&self, repo: &Repo, id: u64) -> Url {
        self.url(repo, &["actions", "artifacts", &id.to_string(), "zip"])
    }

    fn url(&self, repo: &Repo, parts: &[&str]) -> Url {
        let mut url = self.http.api().clone();
        // Only addresses that cannot be a base have no segments, and `new` refuses those.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments
                .pop_if_empty()
                .extend(["repos", repo.owner(), repo.name()])
                .extend(parts);
        }
        url
    }

    async fn pages<P: DeserializeOwned, T>(
        &self,
        url: &Url,
        what: &str,
        items: impl Fn(P) -> Vec<T>,
    ) -> Result<Vec<T>, ApiError> {
        let mut all = Vec::new();
        for page in 1..=MAX_PAGES {
            let mut url = url.clone();
            url.query_pairs_mut()
                .append_pair("per_page", PER_PAGE)
                .append_pair("page", &page.to_string());
            let (answer, has_next) = self.json(&url, what).await?;
            all.extend(items(answer));
            if !has_next {
                break;
            }
        }
        Ok(all)
    }

    /// A JSON answer, and whether another page follows it.
    async fn json<T: DeserializeOwned>(
        &self,
        url: &Url,
        what: &str,
    ) -> Result<(T, bool), ApiError> {
        let kept = self.cache.as_ref().and_then(|cache| cache.get(url));
        let mut headers = HeaderMap::new();
        headers.insert(
            ACCEPT,
            HeaderValue::from_static("application/vnd.github+json"),
        );
        if let Some(kept) = &kept
            && let Ok(etag) = HeaderValue::from_str(&kept.etag)
        {
            headers.insert(IF_NONE_MATCH, etag);
        }
        let answer = self.answer(url, what, headers, MAX_ANSWER).await?;
        let parse = |body: &[u8]| {
            serde_json::from_slice(body).map_err(|source| ApiError::Parse {
                host: host_of(url),
                what: what.to_owned(),
                source,
            })
        };
        match (answer, kept) {
            (Answer::NotModified, Some(kept)) => Ok((parse(kept.body.as_bytes())?, kept.has_next)),
            (Answer::NotModified, None) => Err(HttpError::Status {
                host: host_of(url),
                what: what.to_owned(),
                status: 304,
                message: "although nothing was kept".into(),
            }
            .into()),
            (
                Answer::Body {
                    bytes,
                    etag,
                    has_next,
                },
                _,
            ) => {
                let value = parse(&bytes)?;
                if let (Some(cache), Some(etag), Ok(body)) =
                    (&self.cache, etag, std::str::from_utf8(&bytes))
                {
                    // Not to be able to keep it costs a request later, no more.
                    cache.put(url, &etag, has_next, body).ok();
                }
                Ok((value, has_next))
            }
        }
    }

    async fn bytes(
        &self,
        url: &Url,
        what: &str,
        accept: HeaderValue,
        limit: usize,
    ) -> Result<Vec<u8>, ApiError> {
        let headers = HeaderMap::from_iter([(ACCEPT, accept)]);
        match self.answer(url, what, headers, limit).await? {
            Answer::Body { bytes, .. } => Ok(bytes),
            Answer::NotModified => Err(HttpError::Status {
                host: host_of(url),
                what: what.to_owned(),
                status: 304,
                message: String::new(),
            }
            .into()),
        }
    }

    /// Asks, and asks again while that may help.
    async fn answer(
        &self,
        url: &Url,
        what: &str,
        mut headers: HeaderMap,
        limit: usize,
    ) -> Result<Answer, ApiError> {
        headers.insert(
            "x-github-api-version",
            HeaderValue::from_static("2022-11-28"),
        );
        let reporter: &dyn Reporter = &self.repeats;
        let mut attempt = 0;
        loop {
            match self.answer_once(url, what, &headers, limit).await {
                Err(ApiError::Http(error)) => {
                    attempt += 1;
                    self.http.retry.pause(error, attempt, reporter).await?;
                }
                answer => return answer,
            }
        }
    }

    async fn answer_once(
        &self,
        url: &Url,
        what: &str,
        headers: &HeaderMap,
        limit: usize,
    ) -> Result<Answer, ApiError> {
        let mut response = self.http.get(url, headers).await?;
        self.note_rate_limit(response.headers());
        match response.status() {
            StatusCode::NOT_MODIFIED => return Ok(Answer::NotModified),
            status if status.is_success() => {}
            _ => return Err(self.http.refusal(response, what).await.into()),
        }
        let etag = response
            .headers()
            .get(ETAG)
            .and_then(|value| value.to_str().ok())
            .map(ToOwned::to_owned);
        let has_next = response
            .headers()
            .get_all(LINK)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .any(links_to_next);
        let mut bytes = Vec::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| connection(url, error))?
        {
            if bytes.len() + chunk.len() > limit {
                return Err(ApiError::TooLarge {
                    host: host_of(url),
                    what: what.to_owned(),
                    limit,
                });
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(Answer::Body {
            bytes,
            etag,
            has_next,
        })
    }
}

/// Reads `bytes` as each kind of answer, for fuzzing.
pub(crate) fn read_any_answer(bytes: &[u8]) {
    use serde_json::from_slice;
    drop(
        from_slice::<Vec<ReleaseWire>>(bytes).map(|all| all.into_iter().map(Release::from).count()),
    );
    drop(from_slice::<Vec<ReferenceWire>>(bytes));
    drop(from_slice::<PullRequestWire>(bytes).map(PullRequest::from));
    drop(
        from_slice::<RunsWire>(bytes)
            .map(|all| all.workflow_runs.into_iter().map(Run::from).count()),
    );
    drop(
        from_slice::<ArtifactsWire>(bytes)
            .map(|all| all.artifacts.into_iter().map(Artifact::from).count()),
    );
}

enum Answer {
    NotModified,
    Body {
        bytes: Vec<u8>,
        etag: Option<String>,
        has_next: bool,
    },
}

/// What an answer's headers say of the rate limit, if all that matters is there.
fn rate_limit_in(headers: &HeaderMap) -> Option<RateLimit> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse().ok();
    Some(RateLimit {
        remaining: number("x-ratelimit-remaining")?,
        limit: number("x-ratelimit-limit")?,
        resets_at: number("x-ratelimit-reset")?,
    })
}

/// Whether a `Link` header has a target with the relation `next`.
fn links_to_next(header: &str) -> bool {
    header.split(',').any(|link| {
        link.split(';').skip(1).any(|parameter| {
            parameter
                .trim()
                .strip_prefix("rel=")
                .is_some_and(|relation| relation.trim_matches('"') == "next")
        })
    })
}

/// Whether `text` is the full name of a commit.
pub fn is_commit(text: &str) -> bool {
    text.len() == 40
        && text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests;
