//! The starter's API as an app's server calls it: signing in, reading the user, and a minute of requests at a
//! steady rate, beside the health page, which is the way there and back.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use reqwest::Client;
use serde_json::{Value, json};

use super::program::Program;
use super::{cores, median, milliseconds, row};

/// Requests a second under load.
const RATE: u32 = 100;
/// For how long, in seconds.
const LOAD_SECONDS: u32 = 60;
/// How long a request may take.
const LIMIT: Duration = Duration::from_secs(30);
/// Requests that warm up what is measured then.
const WARM_UP: usize = 20;
const EMAIL: &str = "ada@example.com";
const PASSWORD: &str = "Correct-horse-9";
const CONFIG: &str =
    "export const config = { auth: { allowSignUp: true, password: { allowSignIn: true } } };\n";

/// Measures `program`; each kind of request `10 * runs` times.
pub(super) fn measure(program: &Program, runs: usize) -> Result<()> {
    println!("API: sign in, read the user, {RATE} requests a second for {LOAD_SECONDS} s");
    let folder = tempfile::tempdir().context("cannot make a folder")?;
    let folder = folder.path().canonicalize().context("a folder is gone")?;
    let config = folder.join("stack.config.ts");
    std::fs::write(&config, CONFIG).context("cannot write a config file")?;
    let config = config.to_str().context("the temporary folder's name")?;
    program.run(&["start"], &[])?;
    let credentials = program.run(&["credentials", "--config-file", config], &[])?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let measured = runtime.block_on(measure_app(&credentials.report, runs * 10));
    program.run(&["stop", "--discard"], &[])?;
    let measured = measured?;
    println!("\nAPI: medians, {} cores", cores());
    let health = median(measured.health);
    let reads = median(measured.reads);
    row("health page", milliseconds(health));
    row("GET /users/me", milliseconds(reads));
    row(
        "  GET /users/me / health page",
        format!("{:.1} x", reads / health),
    );
    row(
        "sign in with a password",
        milliseconds(median(measured.sign_ins)),
    );
    let mut load = measured.load;
    load.sort_by(f64::total_cmp);
    let at = |share: usize| load[(load.len() - 1) * share / 100];
    row(
        &format!("GET /users/me, {RATE} a second for {LOAD_SECONDS} s"),
        milliseconds(at(50)),
    );
    row("  of a hundred, the slowest", milliseconds(at(99)));
    row("  the slowest of all", milliseconds(at(100)));
    row("  answers a second", format!("{:.1}", measured.rate));
    Ok(())
}

/// Milliseconds of each request.
struct Measured {
    health: Vec<f64>,
    reads: Vec<f64>,
    sign_ins: Vec<f64>,
    /// From the moment that each was due.
    load: Vec<f64>,
    /// Answers a second.
    rate: f64,
}

#[derive(Clone)]
struct App {
    client: Client,
    url: String,
    project_id: String,
    key: String,
    token: String,
}

async fn measure_app(credentials: &Value, times: usize) -> Result<Measured> {
    let text = |name: &str| {
        let value = credentials[name].as_str();
        value
            .map(str::to_owned)
            .with_context(|| format!("no {name}"))
    };
    let mut app = App {
        client: Client::builder()
            .tls_backend_preconfigured(images::http::no_tls()?)
            .no_proxy()
            .timeout(LIMIT)
            .build()?,
        url: text("api_url")?,
        project_id: text("project_id")?,
        key: text("publishable_client_key")?,
        token: String::new(),
    };
    let body = json!({ "email": EMAIL, "password": PASSWORD });
    let path = "/api/v1/auth/password/sign-up";
    let signed_up = app.ask(path, Some(&body)).await?;
    let token = signed_up["access_token"].as_str();
    token.context("no access token")?.clone_into(&mut app.token);
    let measured = Measured {
        health: app.repeat(times, "/health", None).await?,
        reads: app.repeat(times, "/api/v1/users/me", None).await?,
        sign_ins: app
            .repeat(times, "/api/v1/auth/password/sign-in", Some(&body))
            .await?,
        load: vec![],
        rate: 0.0,
    };
    let begun = Instant::now();
    let load = app.load().await?;
    let rate = f64::from(RATE * LOAD_SECONDS) / begun.elapsed().as_secs_f64();
    Ok(Measured {
        load,
        rate,
        ..measured
    })
}

impl App {
    async fn repeat(&self, times: usize, path: &str, body: Option<&Value>) -> Result<Vec<f64>> {
        let mut taken = vec![];
        for _ in 0..times + WARM_UP {
            let begun = Instant::now();
            self.ask(path, body).await?;
            taken.push(begun.elapsed().as_secs_f64() * 1e3);
        }
        Ok(taken.split_off(WARM_UP))
    }

    /// Requests that come when they are due, whether the ones before are answered or not: that is what a slow
    /// server would otherwise hide.
    async fn load(&self) -> Result<Vec<f64>> {
        let begun = Instant::now();
        let mut under_way = tokio::task::JoinSet::new();
        for number in 0..RATE * LOAD_SECONDS {
            let due = begun + Duration::from_secs(1) * number / RATE;
            tokio::time::sleep_until(due.into()).await;
            let app = self.clone();
            under_way.spawn(async move {
                app.ask("/api/v1/users/me", None).await?;
                anyhow::Ok(due.elapsed().as_secs_f64() * 1e3)
            });
        }
        under_way.join_all().await.into_iter().collect()
    }

    async fn ask(&self, path: &str, body: Option<&Value>) -> Result<Value> {
        let url = format!("{}{path}", self.url);
        let mut request = match body {
            Some(body) => self
                .client
                .post(url)
                .header("content-type", "application/json")
                .body(body.to_string()),
            None => self.client.get(url),
        };
        request = request
            .header("x-stack-project-id", &self.project_id)
            .header("x-stack-access-type", "client")
            .header("x-stack-publishable-client-key", &self.key);
        if !self.token.is_empty() {
            request = request.header("x-stack-access-token", &self.token);
        }
        let answer = request.send().await?;
        let status = answer.status();
        let said = answer.text().await?;
        ensure!(status.is_success(), "{path}: {status}: {said}");
        // The health page is no JSON.
        Ok(serde_json::from_str(&said).unwrap_or_default())
    }
}
