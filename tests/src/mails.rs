//! An app whose users sign in by mail, and the inbox that their mails are in.

use reqwest::Method;
use serde_json::{Value, json};

use crate::app::App;
use crate::{World, port};

const CONFIG: &str = "export const config = { auth: { allowSignUp: true, password: { allowSignIn: true }, \
    otp: { allowSignIn: true } } };\n";

/// The app, in a running emulator.
#[track_caller]
pub fn app(world: &World) -> App {
    App::of(world, &App::folder(world, CONFIG))
}

/// Has a magic link mailed; gives the part of the code that the app keeps.
#[track_caller]
pub fn ask_for_link(app: &App, email: &str) -> String {
    let callback = "http://localhost:3000/handler/magic-link-callback";
    let body = json!({ "email": email, "callback_url": callback });
    let answer = app.post("/auth/otp/send-sign-in-code", &body);
    answer["nonce"].as_str().expect("a nonce").to_owned()
}

/// Signs in with what the user types, and what [`ask_for_link`] gave.
#[track_caller]
pub fn sign_in(app: &App, typed: &str, nonce: &str) -> Value {
    let body = json!({ "code": format!("{typed}{nonce}") });
    app.post("/auth/otp/sign-in", &body)
}

/// What the inbox answers: status and body.
pub fn inbox(app: &App, method: Method, path: &str, body: &str) -> (u16, String) {
    let url = format!("http://127.0.0.1:{}{path}", port("inbucket"));
    let request = app.client().request(method, url).body(body.to_owned());
    let answer = request.send().expect("the inbox answers");
    (answer.status().as_u16(), answer.text().expect("a text"))
}
