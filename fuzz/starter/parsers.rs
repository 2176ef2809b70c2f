//! Everything in the starter stack that reads bytes from elsewhere: the input of a rotation, the host's
//! `runtime.env`, an app's config file, the control socket, the rotation port, cookies and what the mock OAuth provider is asked. The
//! first byte says which.

#![no_main]

use libfuzzer_sys::fuzz_target;
use starter::{
    control::{MAX_LINE, Reply, Request},
    dashboard, env_file,
    mock_oauth::{AuthorizationRequest, Refusal},
    resident::protocol::Input,
    rotation,
    settings::Ports,
    stack_config::{self, ConfigError},
};

fuzz_target!(|data: &[u8]| {
    let Some((which, bytes)) = data.split_first() else {
        return;
    };
    match which {
        b'r' => rotation_input(bytes),
        b'e' => runtime_env(bytes),
        b'c' => {
            if let Ok(text) = std::str::from_utf8(bytes) {
                config_file(text);
            }
        }
        b's' => {
            if let Ok(line) = std::str::from_utf8(bytes) {
                control_line(line);
            }
        }
        b'h' => resident_port(bytes),
        b'k' => {
            if let Ok(header) = std::str::from_utf8(bytes) {
                cookies(header);
            }
        }
        b'o' => {
            if let Ok(query) = std::str::from_utf8(bytes) {
                authorization_request(query);
            }
        }
        _ => {}
    }
});

/// A value is a part of the header, and stands behind its name.
fn cookies(header: &str) {
    let name = header.split(['=', ';']).next().unwrap_or_default().trim();
    if let Some(value) = dashboard::cookie_in(header, name) {
        assert!(!value.contains(';'));
        assert!(header.contains(&format!("{name}={value}")));
    }
}

/// All is taken, and what is refused is not repeated.
fn resident_port(bytes: &[u8]) {
    let mut input = Input::default();
    let mut rest = bytes;
    while let Some(request) = input.next_request(&mut rest) {
        if let Err(error) = request {
            let message = error.to_string();
            for word in bytes.split(|byte| !byte.is_ascii_hexdigit()) {
                let word = std::str::from_utf8(word).expect("hex digits are text");
                assert!(word.len() < 16 || !message.contains(word));
            }
        }
    }
    assert!(rest.is_empty());
}

/// What is accepted is in the input, and what is refused is not repeated.
fn rotation_input(bytes: &[u8]) {
    match rotation::parse_input(bytes) {
        Ok(new) => {
            let text = std::str::from_utf8(bytes).expect("accepted, so it is text");
            for key in [&new.pck, &new.ssk, &new.sak, &new.cron] {
                assert!(text.contains(key.expose()));
            }
        }
        Err(error) => {
            let message = error.to_string();
            for line in bytes.split(|byte| *byte == b'\n') {
                let value = line
                    .splitn(2, |byte| *byte == b'=')
                    .nth(1)
                    .and_then(|value| std::str::from_utf8(value).ok())
                    .unwrap_or_default();
                // No sentence has that many hex digits in a row; a fuzzer finds words that they have.
                let is_like_a_key =
                    value.len() >= 16 && value.bytes().all(|byte| byte.is_ascii_hexdigit());
                assert!(!is_like_a_key || !message.contains(value));
            }
        }
    }
}

fn runtime_env(bytes: &[u8]) {
    if let Ok(ports) = Ports::parse(bytes) {
        assert_eq!(ports.dashboard() + 1, ports.backend());
        assert_ne!(ports.backend_on_host, 0);
    }
    if let Ok(entries) = env_file::parse(bytes) {
        for (name, value) in entries {
            assert!(!name.is_empty() && !name.contains('='));
            assert!(!value.contains('\n') && !value.contains('\0'));
        }
    }
}

/// What is understood is an object that can be written as JSON and means the same when read again.
fn config_file(text: &str) {
    if let Ok(config) = stack_config::parse(text) {
        assert!(config.is_object());
        let again = stack_config::parse(&format!("export default {config}"));
        assert_eq!(again.as_ref(), Ok(&config));
    }
    if let Err(ConfigError::NotASetting { line, column, .. }) = stack_config::read(text) {
        let told = text.lines().nth(line - 1);
        assert!(told.is_some_and(|told| column <= told.chars().count()));
    }
}

fn control_line(line: &str) {
    if let Ok(request) = Request::parse(line) {
        assert_eq!(request.to_line().trim_end_matches('\n'), line);
    }
    if let Ok(reply) = Reply::parse(line) {
        let written = reply.to_line();
        assert!(written.len() <= MAX_LINE && written.ends_with('\n'));
        assert_eq!(written.matches('\n').count(), 1);
    }
}

/// Nobody but the backend is answered, and the form asks for the same again.
fn authorization_request(query: &str) {
    const BACKEND: [&str; 2] = ["http://127.0.0.1:26701/", "http://localhost:26701/"];
    let is_backend = |address: &str| BACKEND.iter().any(|start| address.starts_with(start));
    match AuthorizationRequest::parse(query, 26701) {
        Ok(request) => {
            assert!(is_backend(&request.redirect_uri));
            let again = AuthorizationRequest::parse(&request.query(), 26701);
            assert_eq!(again.as_ref(), Ok(&request));
        }
        Err(Refusal::Client(address)) => assert!(is_backend(&address)),
        Err(Refusal::Here(_)) => {}
    }
}
