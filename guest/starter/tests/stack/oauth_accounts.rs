//! Accounts at providers that users have: connected, listed, changed, and called with.

use serde_json::{Value, json};

use crate::{
    oauth::config,
    support::{
        Stack,
        app::{App, SignedIn, code},
        browser::{agree, entry, location, to, typed},
        http::{Request, Response},
    },
};

/// Connects an account to a user, with scopes; where the browser ends up.
#[track_caller]
fn link(app: &App<'_>, user: &SignedIn, provider: &str, scope: &str, form: &str) -> String {
    let changes = [
        ("type", "link"),
        ("token", user.access_token.as_str()),
        ("provider_scope", scope),
        (
            "after_callback_redirect_url",
            "http://localhost:3000/settings",
        ),
    ];
    app.walk(provider, &changes, form)
}

fn call(app: &App<'_>, user: &SignedIn, method: &str, path: &str, body: &Value) -> Response {
    app.client(Some(&user.access_token), method, path, body)
}

#[track_caller]
fn items(response: &Response) -> Vec<Value> {
    assert_eq!(response.status, 200, "{response:?}");
    response.json()["items"].as_array().unwrap().clone()
}

fn userinfo(stack: &Stack, token: &str) -> Response {
    Request::new(stack.mock_oauth_port(), "GET", "/userinfo")
        .header("authorization", &format!("Bearer {token}"))
        .send()
}

#[test]
fn an_account_is_connected_listed_changed_and_removed() {
    let stack = Stack::start();
    let app = App::new(&stack, "/app/stack.config.ts", &config(""));
    let (ada, eve) = (app.user("ada@example.com"), app.user("eve@example.com"));
    let end = link(
        &app,
        &ada,
        "github",
        "repo",
        &typed("ada@work.test", "Ada at work"),
    );
    let tokens = app.redeem(&end);
    assert_eq!(tokens["is_new_user"], false);
    assert_eq!(
        tokens["after_callback_redirect_url"],
        "http://localhost:3000/settings"
    );
    let user = app.me(tokens["access_token"].as_str().unwrap());
    assert_eq!(user["id"], ada.user_id.as_str());
    // The address at the provider is not the user's.
    assert_eq!(user["primary_email"], "ada@example.com");
    assert_eq!(user["oauth_providers"][0]["email"], "ada@work.test");

    let own = items(&call(
        &app,
        &ada,
        "GET",
        "/oauth-providers?user_id=me",
        &Value::Null,
    ));
    let id = own[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(
        own[0],
        json!({ "user_id": ada.user_id, "id": id, "email": "ada@work.test", "provider_config_id": "github",
            "type": "github", "allow_sign_in": true, "allow_connected_accounts": true })
    );
    let path = format!("/oauth-providers/me/{id}");
    assert_eq!(call(&app, &ada, "GET", &path, &Value::Null).json(), own[0]);
    let seen = app.server(
        "GET",
        &format!("/oauth-providers/{}/{id}", ada.user_id),
        &Value::Null,
    );
    assert!(seen.json()["account_id"].is_string(), "{seen:?}");

    // It signs Ada in now, and nobody else can have it.
    let (_, same) = app.sign_in_with("github", &typed("ada@work.test", ""));
    assert_eq!(same["id"], ada.user_id.as_str());
    let taken = link(&app, &eve, "github", "", &typed("ada@work.test", ""));
    let expected = "OAUTH_CONNECTION_ALREADY_CONNECTED_TO_ANOTHER_USER";
    assert_eq!(entry(&taken, "errorCode").as_deref(), Some(expected));
    for (method, body) in [
        ("GET", Value::Null),
        ("PATCH", json!({ "allow_sign_in": false })),
        ("DELETE", Value::Null),
    ] {
        let others = format!("/oauth-providers/{}/{id}", ada.user_id);
        assert_eq!(
            call(&app, &eve, method, &others, &body).status,
            403,
            "{method}"
        );
        assert_eq!(
            call(&app, &eve, method, &path, &body).status,
            404,
            "{method}"
        );
    }
    assert_eq!(
        call(&app, &eve, "GET", "/oauth-providers", &Value::Null).status,
        403
    );

    // Without sign-in it is a connection alone, and who signs in with it is somebody else.
    let changed = call(
        &app,
        &ada,
        "PATCH",
        &path,
        &json!({ "allow_sign_in": false }),
    );
    assert_eq!(
        (changed.status, &changed.json()["allow_sign_in"]),
        (200, &json!(false))
    );
    let (tokens, other) = app.sign_in_with("github", &typed("ada@work.test", ""));
    assert_eq!(tokens["is_new_user"], true);
    assert_ne!(other["id"], ada.user_id.as_str());
    let taken = call(
        &app,
        &ada,
        "PATCH",
        &path,
        &json!({ "allow_sign_in": true }),
    );
    assert_eq!(
        code(&taken),
        "OAUTH_PROVIDER_ACCOUNT_ID_ALREADY_USED_FOR_SIGN_IN"
    );

    assert_eq!(call(&app, &ada, "DELETE", &path, &Value::Null).status, 200);
    assert_eq!(call(&app, &ada, "DELETE", &path, &Value::Null).status, 404);
    assert_eq!(app.me(&ada.access_token)["oauth_providers"], json!([]));
}

#[test]
fn an_app_calls_the_provider_in_the_name_of_its_user() {
    let stack = Stack::start();
    let app = App::new(&stack, "/app/stack.config.ts", &config(""));
    let ada = app.user("ada@example.com");
    let path = "/connected-accounts/me/github/access-token";
    let ask = |scope: &str| call(&app, &ada, "POST", path, &json!({ "scope": scope }));
    assert_eq!(code(&ask("")), "OAUTH_CONNECTION_NOT_CONNECTED_TO_USER");
    link(
        &app,
        &ada,
        "github",
        "",
        &typed("ada@work.test", "Ada at work"),
    );
    let given = ask("");
    assert_eq!(given.status, 201, "{given:?}");
    let token = given.json()["access_token"].as_str().unwrap().to_owned();
    let person = userinfo(&stack, &token).json();
    assert_eq!(person["email"], "ada@work.test");
    assert_eq!(person["name"], "Ada at work");
    assert_eq!(person["email_verified"], true);
    assert_eq!(
        code(&ask("repo")),
        "OAUTH_CONNECTION_DOES_NOT_HAVE_REQUIRED_SCOPE"
    );
    link(
        &app,
        &ada,
        "github",
        "repo gist",
        &typed("ada@work.test", "Ada at work"),
    );
    assert_eq!(ask("gist repo email").status, 201);

    let connected = items(&call(
        &app,
        &ada,
        "GET",
        "/connected-accounts/me",
        &Value::Null,
    ));
    let account = connected[0]["provider_account_id"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(account, person["sub"]);
    assert_eq!(
        connected,
        [json!({ "user_id": ada.user_id, "provider": "github", "provider_account_id": account })]
    );
    let by_account = |account: &str| {
        let path = format!("/connected-accounts/me/github/{account}/access-token");
        call(&app, &ada, "POST", &path, &json!({}))
    };
    assert_eq!(by_account(&account).status, 201);
    assert_eq!(
        code(&by_account("other")),
        "OAUTH_CONNECTION_NOT_CONNECTED_TO_USER"
    );

    // The token is about to end: the provider is asked for another one.
    stack
        .database
        .run(r#"UPDATE "OAuthGrant" SET "expiresAtMillis" = 1"#);
    let next = ask("").json()["access_token"].as_str().unwrap().to_owned();
    assert_ne!(next, token);
    assert_eq!(userinfo(&stack, &next).json()["email"], "ada@work.test");
    assert_eq!(ask("").json()["access_token"], next.as_str());
    // The provider does not know the grant any more.
    stack
        .database
        .run(r#"UPDATE "OAuthGrant" SET "expiresAtMillis" = 1"#);
    stack.database.run(r#"DELETE FROM "MockOAuthToken""#);
    assert_eq!(
        code(&ask("")),
        "OAUTH_CONNECTION_DOES_NOT_HAVE_REQUIRED_SCOPE"
    );
    assert_eq!(userinfo(&stack, &next).status, 401);
}

#[test]
fn only_the_user_and_servers_are_given_access_tokens() {
    let stack = Stack::start();
    let app = App::new(&stack, "/app/stack.config.ts", &config(""));
    let (ada, eve) = (app.user("ada@example.com"), app.user("eve@example.com"));
    link(&app, &ada, "github", "", &typed("ada@work.test", ""));
    let path = format!("/connected-accounts/{}/github/access-token", ada.user_id);
    assert_eq!(call(&app, &eve, "POST", &path, &json!({})).status, 403);
    assert_eq!(app.client(None, "POST", &path, &json!({})).status, 401);
    let list = format!("/connected-accounts/{}", ada.user_id);
    assert_eq!(call(&app, &eve, "GET", &list, &Value::Null).status, 403);
    assert_eq!(app.server("POST", &path, &json!({})).status, 201);
    // Switched off for the account, and for the provider.
    let id = items(&app.server("GET", "/oauth-providers", &Value::Null))[0]["id"].clone();
    let account = format!("/oauth-providers/{}/{}", ada.user_id, id.as_str().unwrap());
    app.server(
        "PATCH",
        &account,
        &json!({ "allow_connected_accounts": false }),
    );
    let refused = app.server("POST", &path, &json!({}));
    assert_eq!(code(&refused), "OAUTH_CONNECTION_NOT_CONNECTED_TO_USER");
    assert!(items(&app.server("GET", &list, &Value::Null)).is_empty());
    let off = path.replace("github", "spotify");
    let refused = app.server("POST", &off, &json!({}));
    assert_eq!(code(&refused), "OAUTH_PROVIDER_NOT_FOUND_OR_NOT_ENABLED");
    let changes = [("type", "link"), ("token", ada.access_token.as_str())];
    let refused = app.authorize("spotify", &changes);
    assert_eq!(code(&refused), "OAUTH_PROVIDER_NOT_FOUND_OR_NOT_ENABLED");
    assert_eq!(
        app.authorize("work", &changes).status,
        200,
        "for connecting alone"
    );
}

#[test]
fn a_server_makes_accounts() {
    let stack = Stack::start();
    let app = App::new(&stack, "/app/stack.config.ts", &config(""));
    let (ada, eve) = (app.user("ada@example.com"), app.user("eve@example.com"));
    let make = |user: &str, provider: &str, account: &str, allow_sign_in: bool| {
        let body = json!({ "user_id": user, "provider_config_id": provider, "account_id": account,
            "email": "a@b.c", "allow_sign_in": allow_sign_in, "allow_connected_accounts": true });
        app.server("POST", "/oauth-providers", &body)
    };
    let made = make(&ada.user_id, "google", "g1", true);
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(made.json()["account_id"], "g1");
    assert_eq!(made.json()["type"], "google");
    assert_eq!(
        make(&ada.user_id, "google", "g1", false).status,
        400,
        "twice"
    );
    let taken = make(&eve.user_id, "google", "g1", true);
    assert_eq!(
        code(&taken),
        "OAUTH_PROVIDER_ACCOUNT_ID_ALREADY_USED_FOR_SIGN_IN"
    );
    assert_eq!(make(&eve.user_id, "google", "g1", false).status, 201);
    assert_eq!(make(&eve.user_id, "nope", "g1", true).status, 404);
    assert_eq!(code(&make("nope", "google", "g2", true)), "USER_NOT_FOUND");
    let as_client = call(&app, &ada, "POST", "/oauth-providers", &json!({}));
    assert_eq!(code(&as_client), "INSUFFICIENT_ACCESS_TYPE");
    // No grant came with it.
    let path = "/connected-accounts/me/google/access-token";
    let none = call(&app, &ada, "POST", path, &json!({}));
    assert_eq!(code(&none), "OAUTH_CONNECTION_DOES_NOT_HAVE_REQUIRED_SCOPE");
    // Accounts go with their user.
    app.server("DELETE", &format!("/users/{}", ada.user_id), &Value::Null);
    let left = items(&app.server("GET", "/oauth-providers", &Value::Null));
    assert_eq!(left.len(), 1);
    assert_eq!(left[0]["user_id"], eve.user_id.as_str());
}

#[test]
fn a_deleted_user_is_not_connected_to_anything() {
    let stack = Stack::start();
    let app = App::new(&stack, "/app/stack.config.ts", &config(""));
    let ada = app.user("ada@example.com");
    let changes = [("type", "link"), ("token", ada.access_token.as_str())];
    let callback = agree(&app.provider_page("github", &changes), &typed("a@b.c", ""));
    app.server("DELETE", &format!("/users/{}", ada.user_id), &Value::Null);
    let end = location(&to("GET", &callback).send());
    assert_eq!(entry(&end, "errorCode").as_deref(), Some("USER_NOT_FOUND"));
}
