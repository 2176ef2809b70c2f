//! The backend while its database is away, and after.

use crate::support::{Four, Stack};

#[test]
fn an_absent_database_is_told_and_met_again() {
    let stack = Stack::start();
    let pck = Four::placeholders().pck;
    assert_eq!(stack.get("/health?db=1").status, 200);
    stack.database.refuse();
    assert_eq!(stack.get("/health").status, 200);
    let health = stack.get("/health?db=1");
    assert_eq!(health.status, 503);
    assert_eq!(health.json()["status"], "error");
    let response = stack
        .request("GET", "/api/v1/projects/current")
        .header("x-stack-project-id", "internal")
        .header("x-stack-access-type", "client")
        .header("x-stack-publishable-client-key", &pck)
        .send();
    assert_eq!(response.status, 503);
    assert_eq!(
        response.header("x-stack-known-error"),
        Some("DATABASE_UNAVAILABLE")
    );
    stack.database.accept();
    assert_eq!(stack.get("/health?db=1").status, 200);
    assert_eq!(stack.status_with("client", &pck), 200);
}

#[test]
fn connections_that_were_cut_are_replaced_unnoticed() {
    let stack = Stack::start();
    assert_eq!(stack.get("/health?db=1").status, 200);
    stack.database.terminate_all();
    for _ in 0..8 {
        assert_eq!(stack.get("/health?db=1").status, 200);
    }
}

#[test]
fn a_backend_started_before_its_database_gets_going() {
    let mut stack = Stack::installed();
    stack.database.refuse();
    stack.start_backend();
    assert_eq!(stack.get("/health?db=1").status, 503);
    stack.database.accept();
    assert_eq!(stack.get("/health?db=1").status, 200);
    assert!(stack.rotate(&Four::numbered(1)).status.success());
}

#[test]
fn health_needs_the_internal_keys() {
    let stack = Stack::start();
    stack.database.run(r#"DELETE FROM "ApiKeySet""#);
    assert_eq!(stack.get("/health?db=1").status, 503);
    assert_eq!(stack.get("/health?x=db").status, 200);
}
