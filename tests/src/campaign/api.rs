//! The backend, as an app's server asks it.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::{loopback, port};

/// An answer that takes longer is none.
const LIMIT: Duration = Duration::from_secs(20);
/// What a row is called, before its number.
const ROW: &str = "row ";

/// Asks the backend of the instance `default`.
#[derive(Clone)]
pub(super) struct Api {
    client: reqwest::blocking::Client,
    base: String,
}

impl Api {
    pub(super) fn new() -> Self {
        let client = loopback(LIMIT)
            // One that was open to a machine that is gone is of no use to the next.
            .pool_max_idle_per_host(0)
            .build()
            .expect("a client");
        Self {
            client,
            base: format!("http://127.0.0.1:{}/api/v1", port("backend")),
        }
    }

    fn ask(
        &self,
        key: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(u16, Value), reqwest::Error> {
        let address = format!("{}{path}", self.base);
        let request = match body {
            Some(body) => self
                .client
                .post(address)
                .header("content-type", "application/json")
                .body(body.to_string()),
            None => self.client.get(address),
        };
        let answer = request
            .header("x-stack-project-id", "internal")
            .header("x-stack-access-type", "server")
            .header("x-stack-secret-server-key", key)
            .send()?;
        let status = answer.status().as_u16();
        let said = answer.text()?;
        Ok((status, serde_json::from_str(&said).unwrap_or(said.into())))
    }

    /// Makes a row; its ID, if the backend confirms it.
    pub(super) fn add(&self, key: &str, row: u64) -> Result<String, String> {
        let body = json!({ "display_name": format!("{ROW}{row}") });
        match self.ask(key, "/users", Some(&body)) {
            Ok((200 | 201, user)) => {
                let id = user["id"].as_str().map(str::to_owned);
                id.ok_or_else(|| user.to_string())
            }
            Ok(other) => Err(format!("{other:?}")),
            Err(error) => Err(format!("{error:?}")),
        }
    }

    /// The numbers of all rows.
    pub(super) fn list(&self, key: &str) -> Result<BTreeSet<u64>, String> {
        let (status, said) = self
            .ask(key, "/users?limit=100000", None)
            .map_err(|error| format!("{error:?}"))?;
        let items = said["items"]
            .as_array()
            .filter(|_| status == 200)
            .ok_or_else(|| format!("{status}: {said}"))?;
        let row = |user: &Value| {
            let name = user["display_name"].as_str()?;
            name.strip_prefix(ROW)?.parse().ok()
        };
        Ok(items.iter().filter_map(row).collect())
    }

    /// Random values from the guest's kernel and its database.
    pub(super) fn random_values(&self, key: &str) -> Result<Vec<String>, String> {
        let (status, said) = self
            .ask(key, "/internal/local-emulator/random", None)
            .map_err(|error| format!("{error:?}"))?;
        let values = said.as_object().filter(|_| status == 200);
        let values = values.ok_or_else(|| format!("{status}: {said}"))?.values();
        Ok(values
            .filter_map(|value| value.as_str().map(str::to_owned))
            .collect())
    }

    /// `GET` of any address: its status.
    pub(super) fn get(&self, address: &str) -> Result<u16, String> {
        let answer = self.client.get(address).send();
        let answer = answer.map_err(|error| format!("{error:?}"))?;
        let status = answer.status().as_u16();
        // The whole answer is part of a request.
        answer.bytes().map_err(|error| format!("{error:?}"))?;
        Ok(status)
    }

    /// What it says to a publishable client key: an HTTP status.
    pub(super) fn client_key(&self, key: &str) -> Result<u16, String> {
        let answer = self
            .client
            .get(format!("{}/projects/current", self.base))
            .header("x-stack-project-id", "internal")
            .header("x-stack-access-type", "client")
            .header("x-stack-publishable-client-key", key)
            .send()
            .map_err(|error| format!("{error:?}"))?;
        Ok(answer.status().as_u16())
    }
}
