//! Replays exchanges recorded from the real backend and compares the answers.
//!
//! The fixture has them as recorded (keys in it are of a database that no longer exists); exchange 45
//! has its `authorization` header put back, which the recording left out.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::support::{Four, Stack, http::Response};

#[derive(Deserialize)]
struct Exchange {
    n: u32,
    method: String,
    path: String,
    request_headers: BTreeMap<String, String>,
    request_body: String,
    status: u16,
    response_headers: BTreeMap<String, String>,
    response_body: String,
}

const RECORDED_PROJECT: &str = "026cfb12-65e3-4945-b3eb-c07b251a1f69";
const RECORDED_PCK: &str = "pck_yad2dsgb7v0kaewg1a0y2jt9a2sp3rpjbw6kxbpm9x6s0";
const CONFIG_PATH: &str = "/home/dev/app/stack.config.ts";

#[test]
fn answers_are_those_of_the_real_backend() {
    let stack = Stack::start();
    stack.write_host_file(
        CONFIG_PATH,
        "export const config = {\n  auth: { allowSignUp: true, password: { allowSignIn: true } },\n  teams: { allowClientTeamCreation: true },\n};\n",
    );
    let mine = stack
        .project_call(
            &Four::placeholders().pck,
            &serde_json::json!({ "absolute_file_path": CONFIG_PATH }).to_string(),
        )
        .json();
    // What the recording's project and keys are here, and where this backend listens.
    let translate = |text: &str| {
        text.replace(RECORDED_PROJECT, mine["project_id"].as_str().unwrap())
            .replace(
                RECORDED_PCK,
                mine["publishable_client_key"].as_str().unwrap(),
            )
            .replace(":8102/", &format!(":{}/", stack.backend_port()))
    };

    let fixture = include_str!("fixtures/exchanges.jsonl");
    let mut compared = 0;
    for line in fixture.lines() {
        let exchange: Exchange = serde_json::from_str(line).unwrap();
        let mut request = stack
            .request(&exchange.method, &translate(&exchange.path))
            .body(&exchange.request_body);
        for (name, value) in &exchange.request_headers {
            request = request.header(name, &translate(value));
        }
        let response = request.send();
        let n = exchange.n;
        assert_eq!(
            response.status, exchange.status,
            "status of {n}: {response:?}"
        );
        compare_headers(n, &exchange.response_headers, &response);
        let body = translate(&exchange.response_body);
        match n {
            42 => compare_credentials(&body, &response.body),
            47 => compare_key_sets(&body, &response.body),
            // Successes: the order of a JSON object's entries is free.
            _ if response
                .header("content-type")
                .is_some_and(|kind| kind.contains("json"))
                && response.header("x-stack-known-error").is_none() =>
            {
                let recorded: Value = serde_json::from_str(&body).unwrap();
                assert_eq!(response.json(), recorded, "body of {n}");
            }
            _ => assert_eq!(response.body, body, "body of {n}"),
        }
        compared += 1;
    }
    assert_eq!(compared, 23);
}

/// All recorded headers are there with their values, and no `x-stack-` header besides. Request IDs are
/// random and compared by shape.
fn compare_headers(n: u32, recorded: &BTreeMap<String, String>, response: &Response) {
    for (name, value) in recorded {
        let ours = response.header(name);
        if name == "x-stack-request-id" {
            assert_eq!(ours.map(str::len), Some(value.len()), "{name} of {n}");
        } else {
            assert_eq!(ours, Some(value.as_str()), "{name} of {n}");
        }
    }
    for (name, _) in &response.headers {
        let ours_alone = name.starts_with("x-stack-") && !recorded.contains_key(name);
        assert!(!ours_alone, "{name} of {n} is not in the recording");
    }
}

/// Same fields, same shape of keys, same settings.
fn compare_credentials(recorded: &str, ours: &str) {
    let recorded: BTreeMap<String, String> = serde_json::from_str(recorded).unwrap();
    let ours: BTreeMap<String, String> = serde_json::from_str(ours).unwrap();
    assert_eq!(
        recorded.keys().collect::<Vec<_>>(),
        ours.keys().collect::<Vec<_>>()
    );
    for name in [
        "publishable_client_key",
        "secret_server_key",
        "super_secret_admin_key",
    ] {
        assert_eq!(recorded[name].len(), ours[name].len(), "{name}");
        assert_eq!(recorded[name][..4], ours[name][..4], "{name}");
    }
    let config = "branch_config_override_string";
    assert_eq!(recorded[config], ours[config]);
}

/// Same fields in each key; the number of keys is the backend's own business.
fn compare_key_sets(recorded: &str, ours: &str) {
    let shape = |text: &str| -> Vec<(String, usize)> {
        let set: Value = serde_json::from_str(text).unwrap();
        let key = set["keys"][0].as_object().unwrap().clone();
        key.into_iter()
            .map(|(name, value)| (name, value.as_str().unwrap().len()))
            .collect()
    };
    assert_eq!(shape(recorded), shape(ours));
}
