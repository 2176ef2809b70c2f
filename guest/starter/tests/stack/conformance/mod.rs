//! Replays what was recorded of the real backend, in its order, and compares the answers field by field.
//!
//! Exchanges 1 to 49 are of a project with passwords and teams, 50 to 148 of one with everything that
//! `tests/conformance/stack.config.ts` allows. What a run makes anew (IDs, keys, tokens, times) is
//! translated in both directions by [`translation::Translation`]; all else has to be equal. Codes come
//! from the mails that the backend wrote. Left out of the recording are only headers that no answer
//! depends on; exchange 45 has its `authorization` header put back.

mod translation;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use self::translation::Translation;
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

/// What the project-credentials call gave when the recordings were made, and which file it was for.
struct RecordedProject {
    config_path: &'static str,
    config: &'static str,
    values: [(&'static str, &'static str); 3],
}

const FIRST: RecordedProject = RecordedProject {
    config_path: "/home/dev/app/stack.config.ts",
    config: "export const config = {\n  auth: { allowSignUp: true, password: { allowSignIn: true } },\n  teams: { allowClientTeamCreation: true },\n};\n",
    values: [
        ("project_id", "026cfb12-65e3-4945-b3eb-c07b251a1f69"),
        (
            "publishable_client_key",
            "pck_yad2dsgb7v0kaewg1a0y2jt9a2sp3rpjbw6kxbpm9x6s0",
        ),
        (
            "secret_server_key",
            "ssk_kvjm08feaxbn5rh3pajy08tqv8brya4asnrh6c8q8cvg0",
        ),
    ],
};

const SECOND: RecordedProject = RecordedProject {
    config_path: "/home/dev/second/stack.config.ts",
    config: include_str!("../../conformance/stack.config.ts"),
    values: [
        ("project_id", "66b43d9f-67a0-47a0-ae6d-8a92e610b763"),
        (
            "publishable_client_key",
            "pck_d47xkx3zjs800zw3rfmznhn1rm6y5z79m0h3mfyg45ce8",
        ),
        (
            "secret_server_key",
            "ssk_4582pc2ppqatkhza9z863q2scnkvw1pfjtmhr8wetqw18",
        ),
    ],
};

/// When the API key of exchange 118 expires: in the recording's future, so it is moved to this run's.
const EXPIRY: &str = "1796018924926";

/// Exchanges whose answers are not those of the real backend yet. One that is listed here and has become
/// right fails the test, so that it is taken off.
const NOT_YET: &[u32] = &[];

#[test]
fn answers_are_those_of_the_real_backend() {
    let stack = Stack::start();
    let mut translation = Translation::new(stack.backend_port());
    for project in [FIRST, SECOND] {
        stack.write_host_file(project.config_path, project.config);
        let ours = stack
            .project_call(
                &Four::placeholders().ssk,
                &json!({ "absolute_file_path": project.config_path }).to_string(),
            )
            .json();
        for (field, recorded) in project.values {
            translation.learn(recorded, ours[field].as_str().unwrap());
        }
    }
    let tomorrow = translation::now_millis() + 24 * 60 * 60 * 1000;
    translation.learn(EXPIRY, &tomorrow.to_string());

    let (mut compared, mut failures) = (0, Vec::new());
    for line in include_str!("../../conformance/exchanges.jsonl").lines() {
        let exchange: Exchange = serde_json::from_str(line).unwrap();
        learn_code(&stack, &mut translation, &exchange);
        let response = send(&stack, &translation, &exchange);
        let differences = compare(&mut translation, &exchange, &response);
        match (differences.is_empty(), NOT_YET.contains(&exchange.n)) {
            (true, false) | (false, true) => {}
            (true, true) => failures.push(format!("{}: right now, but in NOT_YET", exchange.n)),
            (false, false) => failures.push(format!(
                "{} {} {}:\n    {}",
                exchange.n,
                exchange.method,
                exchange.path,
                differences.join("\n    ")
            )),
        }
        compared += 1;
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert_eq!(compared, 148);
}

fn send(stack: &Stack, translation: &Translation, exchange: &Exchange) -> Response {
    let mut request = stack
        .request(&exchange.method, &translation.ours(&exchange.path))
        .body(&translation.ours(&exchange.request_body));
    let four = Four::placeholders();
    // The one difference that is meant: the recorded backend gives a project's keys to who has the
    // publishable key of `internal`, this one to who has the server key.
    let needs_more = exchange.path.ends_with("/local-emulator/project");
    for (name, value) in &exchange.request_headers {
        let has_right_key = exchange
            .request_headers
            .values()
            .any(|key| *key == four.pck);
        request = match name.as_str() {
            "x-stack-access-type" if needs_more && has_right_key => request.header(name, "server"),
            "x-stack-publishable-client-key" if needs_more && has_right_key => {
                request.header("x-stack-secret-server-key", &four.ssk)
            }
            _ => request.header(name, &translation.ours(value)),
        };
    }
    request.send()
}

/// A code that the recording's user took from a mail is taken from the newest mail that has one here.
fn learn_code(stack: &Stack, translation: &mut Translation, exchange: &Exchange) {
    let Ok(body) = serde_json::from_str::<Value>(&exchange.request_body) else {
        return;
    };
    let Some(recorded) = body["code"].as_str().filter(|code| code.len() == 45) else {
        return;
    };
    if translation.knows(recorded) {
        return;
    }
    let mails = stack
        .database
        .run(r#"SELECT "text" FROM "Mail" ORDER BY "number" DESC LIMIT 1"#);
    // Without a mail the exchange is sent with a code that cannot be right, and compared.
    let text = mails
        .first()
        .and_then(|row| row[0].clone())
        .unwrap_or_default();
    if let Some((_, rest)) = text.split_once("code=") {
        let code: String = rest
            .chars()
            .take_while(char::is_ascii_alphanumeric)
            .collect();
        translation.learn(recorded, &code);
    }
}

/// What is different in an answer, one sentence each.
fn compare(translation: &mut Translation, exchange: &Exchange, response: &Response) -> Vec<String> {
    let mut differences = Vec::new();
    if response.status != exchange.status {
        differences.push(format!(
            "status {} instead of {}: {}",
            response.status, exchange.status, response.body
        ));
        return differences;
    }
    compare_headers(exchange, response, &mut differences);
    let is_json = response
        .header("content-type")
        .is_some_and(|kind| kind.contains("json"));
    let recorded = serde_json::from_str::<Value>(&exchange.response_body);
    match (exchange.n, recorded, is_json) {
        // Errors are compared as text: their layout is part of them.
        (_, Ok(_), true) if response.header("x-stack-known-error").is_some() => {
            let expected = translation.ours(&exchange.response_body);
            if response.body != expected {
                differences.push(format!("body {} instead of {expected}", response.body));
            }
        }
        (_, Ok(recorded), true) => {
            translation.compare(&recorded, &response.json(), "", &mut differences);
        }
        _ => {
            let expected = translation.ours(&exchange.response_body);
            if response.body != expected {
                differences.push(format!("body {} instead of {expected}", response.body));
            }
        }
    }
    differences
}

/// All recorded headers are there with their values, no `x-stack-` header besides, and each of those a
/// second time under the project's newer name.
fn compare_headers(exchange: &Exchange, response: &Response, differences: &mut Vec<String>) {
    for (name, value) in &exchange.response_headers {
        if response.header(name) != Some(value.as_str()) {
            differences.push(format!(
                "{name} is {:?} instead of {value:?}",
                response.header(name)
            ));
        }
    }
    for (name, value) in &response.headers {
        let Some(rest) = name.strip_prefix("x-stack-") else {
            continue;
        };
        if rest == "request-id" {
            if value.len() != 16 {
                differences.push(format!("request ID {value}"));
            }
        } else if !exchange.response_headers.contains_key(name) {
            differences.push(format!("{name} is not in the recording"));
        }
        if response.header(&format!("x-hexclave-{rest}")) != Some(value) {
            differences.push(format!("no x-hexclave-{rest} that is equal"));
        }
    }
}
