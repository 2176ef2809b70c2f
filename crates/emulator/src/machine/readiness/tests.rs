//! Proofs against servers on the loopback.

use super::*;
use secrets::SecretName;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Answers each request with what `answer` says to its text.
async fn server(answer: impl Fn(&str, usize) -> &'static str + Send + 'static) -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        for count in 0.. {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut buffer = vec![0; 4096];
            let length = stream.read(&mut buffer).await.unwrap();
            let status = answer(&String::from_utf8_lossy(&buffer[..length]), count);
            let text =
                format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            stream.write_all(text.as_bytes()).await.unwrap();
        }
    });
    port
}

fn endpoint(port: u16) -> Endpoint {
    Endpoint {
        id: "b".into(),
        name: "Backend".into(),
        port,
        path: Some("/health".into()),
        browsable: true,
    }
}

#[tokio::test]
async fn waits_until_healthy() {
    let port = server(|_, count| {
        if count < 3 {
            "503 Unavailable"
        } else {
            "200 OK"
        }
    })
    .await;
    Prober::new()
        .unwrap()
        .all_healthy(&[endpoint(port)], Duration::from_secs(20))
        .await
        .unwrap();
}

#[tokio::test]
async fn names_the_service_and_its_last_answer() {
    let port = server(|_, _| "503 Unavailable").await;
    let error = Prober::new()
        .unwrap()
        .all_healthy(&[endpoint(port)], Duration::from_millis(200))
        .await
        .unwrap_err();
    let text = error.to_string();
    assert!(text.contains("Backend") && text.contains("503"), "{text}");
}

#[tokio::test]
async fn an_old_key_that_still_works_is_no_rotation() {
    let port = server(|_, _| "200 OK").await;
    let (new, old) = (Secret::generate().unwrap(), SecretName::Pck.placeholder());
    let limit = Duration::from_millis(200);
    let error = Prober::new()
        .unwrap()
        .rotated_and_healthy(Proof::First, port, &new, &[&old], &[endpoint(port)], limit)
        .await
        .unwrap_err();
    assert!(matches!(error, NotReady::OldKeyAccepted { .. }), "{error}");
}

#[tokio::test]
async fn a_guest_that_was_proved_before_is_asked_for_all_of_it_again() {
    let (new, old) = (Secret::generate().unwrap(), SecretName::Pck.placeholder());
    let limit = Duration::from_millis(500);
    let ask = async |answer: fn(bool, bool) -> &'static str| {
        let (new_key, old_key) = (new.expose().to_owned(), old.expose().to_owned());
        let port = server(move |request, _| {
            answer(request.contains(&new_key), request.contains(&old_key))
        })
        .await;
        let prober = Prober::new().unwrap();
        prober
            .rotated_and_healthy(Proof::Again, port, &new, &[&old], &[endpoint(port)], limit)
            .await
    };
    ask(|_, old| if old { "401 Unauthorized" } else { "200 OK" })
        .await
        .unwrap();
    let error = ask(|_, _| "200 OK").await.unwrap_err();
    assert!(matches!(error, NotReady::OldKeyAccepted { .. }), "{error}");
    let error = ask(|new, old| {
        if new || old {
            "401 Unauthorized"
        } else {
            "200 OK"
        }
    })
    .await
    .unwrap_err();
    assert!(matches!(error, NotReady::NewKeyRefused { .. }), "{error}");
    let error = ask(|new, old| match (new, old) {
        (true, _) => "200 OK",
        (_, true) => "401 Unauthorized",
        _ => "503 Service Unavailable",
    })
    .await
    .unwrap_err();
    assert!(matches!(error, NotReady::Service { .. }), "{error}");
}

#[tokio::test]
async fn a_successor_that_takes_its_time_is_waited_for() {
    let new = Secret::generate().unwrap();
    let text = new.expose().to_owned();
    // The old process answers first, accepting the old key alone.
    let port = server(move |request, count| {
        let has_new = request.contains(&text);
        if (count < 5) == has_new {
            "401 Unauthorized"
        } else {
            "200 OK"
        }
    })
    .await;
    let old = SecretName::Pck.placeholder();
    let limit = Duration::from_secs(20);
    Prober::new()
        .unwrap()
        .rotated_and_healthy(Proof::First, port, &new, &[&old], &[], limit)
        .await
        .unwrap();
}

/// Answers each request, when `answer` does, with what it says to the request's text.
async fn patient_server<F>(answer: impl Fn(String) -> F + Send + 'static) -> u16
where
    F: Future<Output = &'static str> + Send + 'static,
{
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut buffer = vec![0; 4096];
            let length = stream.read(&mut buffer).await.unwrap();
            let status = answer(String::from_utf8_lossy(&buffer[..length]).into_owned());
            tokio::spawn(async move {
                let status = status.await;
                let text =
                    format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                stream.write_all(text.as_bytes()).await.unwrap();
            });
        }
    });
    port
}

#[tokio::test]
async fn once_the_new_key_is_accepted_all_else_is_asked_at_the_same_time() {
    let new = Secret::generate().unwrap();
    let text = new.expose().to_owned();
    // Nobody is answered before all have asked: the backend for the old key and its health,
    // and another service for its own.
    let together = Arc::new(tokio::sync::Barrier::new(3));
    let answer = move |request: String| {
        let (together, is_new) = (together.clone(), request.contains(&text));
        async move {
            if is_new {
                return "200 OK";
            }
            together.wait().await;
            if request.contains("publishable") {
                "401 Unauthorized"
            } else {
                "200 OK"
            }
        }
    };
    let (port, other) = (
        patient_server(answer.clone()).await,
        patient_server(answer).await,
    );
    let old = SecretName::Pck.placeholder();
    let limit = Duration::from_secs(20);
    Prober::new()
        .unwrap()
        .rotated_and_healthy(
            Proof::First,
            port,
            &new,
            &[&old],
            &[endpoint(port), endpoint(other)],
            limit,
        )
        .await
        .unwrap();
}

#[tokio::test]
async fn a_backend_that_knows_one_family_of_headers_sees_the_key() {
    let key = Secret::generate().unwrap();
    for family in ["x-stack", "x-hexclave"] {
        let wanted = format!("{family}-publishable-client-key: {}", key.expose());
        let port = patient_server(move |request: String| {
            let known = request.contains(&wanted);
            std::future::ready(if known { "200 OK" } else { "401 Unauthorized" })
        })
        .await;
        let prober = Prober::new().unwrap();
        let accepted = prober.accepts(port, &key, Duration::from_secs(20));
        assert_eq!(accepted.await, Some(true), "{family}");
    }
}

#[tokio::test]
async fn no_port_gets_more_requests_at_once_than_qemu_takes() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counted = most.clone();
    let port = patient_server(move |_| {
        let (now, most) = (now.clone(), counted.clone());
        async move {
            most.fetch_max(now.fetch_add(1, Relaxed) + 1, Relaxed);
            tokio::time::sleep(Duration::from_millis(5)).await;
            now.fetch_sub(1, Relaxed);
            "200 OK"
        }
    })
    .await;
    let many = vec![endpoint(port); 9];
    let limit = Duration::from_secs(20);
    let prober = Prober::new().unwrap();
    prober.all_healthy(&many, limit).await.unwrap();
    assert_eq!(most.load(Relaxed), AT_ONCE);
}

#[tokio::test]
async fn a_predecessor_does_not_answer_for_the_health_of_its_successor() {
    let new = Secret::generate().unwrap();
    let text = new.expose().to_owned();
    let (refusals, unhealthy) = (std::cell::Cell::new(0), std::cell::Cell::new(0));
    let seen = Arc::new(AtomicUsize::new(0));
    let told = seen.clone();
    // The predecessor takes the old key once, and is healthy; its successor is not at first.
    let port = patient_server(move |request| {
        let status = if request.contains(&text) {
            "200 OK"
        } else if request.contains("publishable") {
            refusals.set(refusals.get() + 1);
            if refusals.get() == 1 {
                "200 OK"
            } else {
                "401 Unauthorized"
            }
        } else if refusals.get() < 2 {
            "200 OK"
        } else if unhealthy.get() < 3 {
            unhealthy.set(unhealthy.get() + 1);
            "503 Unavailable"
        } else {
            told.fetch_add(1, Relaxed);
            "200 OK"
        };
        std::future::ready(status)
    })
    .await;
    let old = SecretName::Pck.placeholder();
    let limit = Duration::from_secs(20);
    Prober::new()
        .unwrap()
        .rotated_and_healthy(Proof::First, port, &new, &[&old], &[endpoint(port)], limit)
        .await
        .unwrap();
    // More often if the two first requests come one after the other.
    assert!(seen.load(Relaxed) >= 1);
}

#[tokio::test]
async fn health_is_not_asked_before_the_new_key_is_accepted() {
    let new = Secret::generate().unwrap();
    let text = new.expose().to_owned();
    let refused = std::cell::Cell::new(0);
    let port = patient_server(move |request| {
        let status = if request.contains(&text) {
            refused.set(refused.get() + 1);
            if refused.get() < 4 {
                "401 Unauthorized"
            } else {
                "200 OK"
            }
        } else {
            assert!(refused.get() >= 4, "too early: {request}");
            if request.contains("publishable") {
                "403 Forbidden"
            } else {
                "200 OK"
            }
        };
        std::future::ready(status)
    })
    .await;
    let old = SecretName::Pck.placeholder();
    let limit = Duration::from_secs(20);
    Prober::new()
        .unwrap()
        .rotated_and_healthy(Proof::First, port, &new, &[&old], &[endpoint(port)], limit)
        .await
        .unwrap();
}
