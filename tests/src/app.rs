//! An app and its pages, as far as a backend knows of them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::World;

/// An app's project in a running emulator.
pub struct App {
    config_file: PathBuf,
    credentials: Value,
    client: reqwest::blocking::Client,
}

impl App {
    /// Makes an app's folder; gives its config file.
    pub fn folder(world: &World, config: &str) -> PathBuf {
        let home = world.user_home().canonicalize().expect("a home");
        let folder = home.join("app");
        std::fs::create_dir_all(&folder).expect("a folder");
        let file = folder.join("stack.config.ts");
        std::fs::write(&file, config).expect("a config file");
        file
    }

    /// The project that belongs to a config file.
    #[track_caller]
    pub fn of(world: &World, config_file: &Path) -> Self {
        let words = ["credentials", "--json", "--config-file"].map(std::ffi::OsStr::new);
        let words = words.into_iter().chain([config_file.as_os_str()]);
        Self {
            config_file: config_file.to_owned(),
            credentials: world.run(words).ok().json(),
            client: reqwest::blocking::Client::builder()
                .tls_backend_preconfigured(images::http::no_tls().expect("no TLS"))
                .no_proxy()
                .timeout(Duration::from_secs(30))
                .build()
                .expect("a client"),
        }
    }

    /// The app's config file.
    pub fn config_file(&self) -> &Path {
        &self.config_file
    }

    /// For requests that are no calls of the app's.
    pub fn client(&self) -> &reqwest::blocking::Client {
        &self.client
    }

    /// A field of the project's credentials.
    #[track_caller]
    pub fn text(&self, field: &str) -> &str {
        self.credentials[field].as_str().expect("a text")
    }

    /// A call of one of the app's pages: the answer's status and body.
    #[track_caller]
    pub fn call(&self, path: &str, body: &Value) -> (u16, Value) {
        let answer = self
            .client
            .post(format!("{}/api/v1{path}", self.text("api_url")))
            .header("content-type", "application/json")
            .header("x-stack-project-id", self.text("project_id"))
            .header("x-stack-access-type", "client")
            .header(
                "x-stack-publishable-client-key",
                self.text("publishable_client_key"),
            )
            .body(body.to_string())
            .send()
            .expect("an answer");
        let status = answer.status().as_u16();
        let said = answer.text().expect("a text");
        (status, serde_json::from_str(&said).expect("JSON"))
    }

    /// The same for a call that succeeds.
    #[track_caller]
    pub fn post(&self, path: &str, body: &Value) -> Value {
        let (status, said) = self.call(path, body);
        assert_eq!(status, 200, "{path}: {said}");
        said
    }
}
