//! As much of a WebDriver client as the tests use.
//!
//! A client of our own because the tests are written without `async`, and because the known crates bring the
//! copyleft `webdriver` crate or a second HTTP stack for the dozen requests below.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::{SOON, until};

/// The key under which an element's identifier crosses the wire, as the specification has it.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
/// Limit for one command: the first one includes the launch of the app.
const COMMAND_LIMIT: Duration = Duration::from_secs(120);

/// A session of a WebDriver.
#[derive(Debug)]
pub(super) struct Session {
    client: reqwest::blocking::Client,
    address: String,
}

/// A command that the driver refused, for instance since there is no such element.
struct Refused {
    error: String,
    message: String,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.error, self.message)
    }
}

fn client() -> reqwest::blocking::Client {
    crate::loopback_client(COMMAND_LIMIT)
}

impl Session {
    /// Whether the driver at `address` takes sessions.
    pub(super) fn is_ready(address: &str) -> bool {
        let answer = client().get(format!("{address}/status")).send();
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    /// Has the driver launch its browser.
    pub(super) fn begin(address: &str, capabilities: &Value) -> Self {
        let body = json!({ "capabilities": { "alwaysMatch": capabilities, "firstMatch": [{}] } });
        let mut session = Self {
            client: client(),
            address: format!("{address}/session"),
        };
        let answer = session
            .ask("", Some(&body))
            .unwrap_or_else(|refused| panic!("no WebDriver session: {refused}"));
        let id = answer["sessionId"].as_str().expect("a session's id");
        session.address = format!("{}/{id}", session.address);
        session
    }

    fn ask(&self, path: &str, body: Option<&Value>) -> Result<Value, Refused> {
        let address = format!("{}{path}", self.address);
        let request = match body {
            Some(body) => self.client.post(address).json(body),
            None => self.client.get(address),
        };
        let answer = request.send().expect("the WebDriver answers");
        let succeeded = answer.status().is_success();
        let mut answer: Value = answer.json().expect("JSON");
        let value = answer["value"].take();
        if succeeded {
            return Ok(value);
        }
        let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        Err(Refused {
            error: text("error"),
            message: text("message"),
        })
    }

    #[track_caller]
    fn must(&self, path: &str, body: Option<&Value>) -> Value {
        self.ask(path, body)
            .unwrap_or_else(|refused| panic!("{path} {body:?}: {refused}"))
    }
}

/// The page in the app's window.
#[derive(Debug)]
pub struct Page {
    session: Session,
    camera: Camera,
}

/// Takes pictures of what is on the display. Not by the WebDriver: without WebKit's DMABUF renderer, which the
/// app switches off where there is no graphics card, it never answers.
#[derive(Debug)]
pub(super) struct Camera {
    pub(super) display: String,
    pub(super) folder: PathBuf,
}

/// Something on the page.
#[derive(Debug)]
pub struct Element<'a> {
    session: &'a Session,
    id: String,
}

impl Page {
    pub(super) fn new(session: Session, camera: Camera) -> Self {
        Self { session, camera }
    }

    /// The first element that an XPath expression finds.
    pub fn find(&self, xpath: &str) -> Option<Element<'_>> {
        let body = json!({ "using": "xpath", "value": xpath });
        match self.session.ask("/element", Some(&body)) {
            Ok(value) => Some(Element {
                session: &self.session,
                id: value[ELEMENT].as_str().expect("an element's id").to_owned(),
            }),
            // Or it went while it was looked up.
            Err(Refused { error, .. })
                if ["no such element", "stale element reference"].contains(&error.as_str()) =>
            {
                None
            }
            Err(refused) => panic!("{xpath}: {refused}"),
        }
    }

    /// Waits for an element.
    #[track_caller]
    pub fn wait_for(&self, xpath: &str, limit: Duration) -> Element<'_> {
        self.told(xpath, limit, || self.find(xpath))
    }

    /// The button or link that a screen reader calls `name`, if it is there and can be used.
    pub fn button(&self, name: &str) -> Option<Element<'_>> {
        let name = literal(name);
        self.find(&format!(
            "//*[self::button or self::a][not(@disabled)]\
             [@aria-label={name} or (not(@aria-label) and normalize-space(.)={name})]"
        ))
    }

    /// Waits for a button that can be used, and clicks it.
    #[track_caller]
    pub fn click(&self, name: &str) {
        self.told(&format!("the button {name:?}"), SOON, || {
            let button = self.button(name)?;
            // What has moved, or was drawn anew in between, is looked for again.
            button.try_click().then_some(())
        });
    }

    /// Waits for what `xpath` finds, and clicks it.
    #[track_caller]
    pub fn press(&self, xpath: &str) {
        self.told(xpath, SOON, || self.find(xpath)?.try_click().then_some(()));
    }

    /// Waits for a button and clicks it, where that may end the app before the WebDriver has an answer.
    #[track_caller]
    pub fn click_to_the_end(&self, name: &str) {
        self.told(&format!("the button {name:?}"), SOON, || {
            let button = self.button(name)?;
            match button.ask_to_click() {
                Err(Refused { error, .. }) if MOVED.contains(&error.as_str()) => None,
                // After other errors the page went with the app, for which the caller waits.
                Ok(_) | Err(_) => Some(()),
            }
        });
    }

    /// Goes to a page by its link at the side, which may also say how things are there.
    #[track_caller]
    pub fn go(&self, page: &str) {
        let xpath = format!(
            "//nav//a[starts-with(normalize-space(.), {})]",
            literal(page)
        );
        self.told(&format!("the link to {page:?}"), SOON, || {
            self.find(&xpath)?.try_click().then_some(())
        });
    }

    /// Chooses one of several options by its label, as soon as it is there.
    #[track_caller]
    pub fn choose(&self, label: &str) {
        let xpath = format!("//label[normalize-space(.)={}]", literal(label));
        self.told(&format!("the option {label:?}"), SOON, || {
            self.find(&xpath)?.try_click().then_some(())
        });
    }

    /// Waits until `text` is somewhere on the page.
    #[track_caller]
    pub fn wait_for_text(&self, text: &str, limit: Duration) {
        self.told(&format!("the text {text:?}"), limit, || {
            self.text().contains(text).then_some(())
        });
    }

    /// Waits until the page's first heading is `heading`.
    #[track_caller]
    pub fn wait_for_heading(&self, heading: &str, limit: Duration) {
        self.told(&format!("the heading {heading:?}"), limit, || {
            (self.heading() == heading).then_some(())
        });
    }

    /// The first heading; empty before there is one.
    pub fn heading(&self) -> String {
        let heading = self.find("//h1");
        heading
            .and_then(|found| found.try_text())
            .unwrap_or_default()
    }

    /// What a person reads.
    pub fn text(&self) -> String {
        let body = self.find("//body");
        body.and_then(|body| body.try_text()).unwrap_or_default()
    }

    /// The document as it is now, attributes included.
    pub fn source(&self) -> String {
        let source = self.session.must("/source", None);
        source.as_str().expect("text").to_owned()
    }

    /// Waits until the page takes the desktop for dark, or for light, and has changed its colours.
    #[track_caller]
    pub fn wait_for_dark(&self, dark: bool, limit: Duration) {
        let script = "return matchMedia('(prefers-color-scheme: dark)').matches";
        let body = json!({ "script": script, "args": [] });
        let what = if dark { "a dark page" } else { "a light page" };
        self.told(what, limit, || {
            (self.session.must("/execute/sync", Some(&body)) == dark).then_some(())
        });
    }

    /// Waits until nothing on the page moves or fades.
    #[track_caller]
    pub fn wait_for_stillness(&self, limit: Duration) {
        let script = "return document.getAnimations().length === 0";
        let body = json!({ "script": script, "args": [] });
        self.told("a page that stands still", limit, || {
            (self.session.must("/execute/sync", Some(&body)) == true).then_some(())
        });
    }

    /// Gives the window another size, and waits until the page has it.
    #[track_caller]
    pub fn resize(&self, (width, height): (u32, u32)) {
        let rect = json!({ "width": width, "height": height });
        self.session.must("/window/rect", Some(&rect));
        let body = json!({ "script": "return innerWidth", "args": [] });
        self.told(&format!("a width of {width}"), SOON, || {
            (self.session.must("/execute/sync", Some(&body)) == width).then_some(())
        });
    }

    /// Keeps a picture of the display for people to look at.
    pub fn shoot(&self, name: &str) {
        let taken = Command::new("import")
            .args(["-display", &self.camera.display, "-window", "root"])
            .arg(self.camera.folder.join(format!("{name}.png")))
            .status();
        assert!(
            taken.expect("import is there").success(),
            "no picture of {name}"
        );
    }

    /// [`until`], with what the page shows instead.
    #[track_caller]
    fn told<T>(&self, what: &str, limit: Duration, ask: impl FnMut() -> Option<T>) -> T {
        let waiting = std::panic::AssertUnwindSafe(|| until(what, limit, ask));
        std::panic::catch_unwind(waiting).unwrap_or_else(|_| {
            self.shoot("failure");
            panic!("waited for {what}; the page shows:\n{}", self.text());
        })
    }
}

impl Element<'_> {
    /// What a person reads in it.
    #[track_caller]
    pub fn text(&self) -> String {
        self.try_text().expect("the element is still there")
    }

    /// Types into it.
    #[track_caller]
    pub fn type_text(&self, text: &str) {
        let path = format!("/element/{}/value", self.id);
        self.session.must(&path, Some(&json!({ "text": text })));
    }

    fn try_text(&self) -> Option<String> {
        let path = format!("/element/{}/text", self.id);
        let text = self.session.ask(&path, None).ok()?;
        Some(text.as_str()?.to_owned())
    }

    fn ask_to_click(&self) -> Result<Value, Refused> {
        let path = format!("/element/{}/click", self.id);
        self.session.ask(&path, Some(&json!({})))
    }

    fn try_click(&self) -> bool {
        match self.ask_to_click() {
            Ok(_) => true,
            Err(Refused { error, .. }) if MOVED.contains(&error.as_str()) => false,
            Err(refused) => panic!("cannot click: {refused}"),
        }
    }
}

/// Refusals of a click that mean: look for the element again.
const MOVED: [&str; 3] = [
    "stale element reference",
    "element not interactable",
    "element click intercepted",
];

/// A string literal of XPath, which knows no escapes.
fn literal(text: &str) -> String {
    if !text.contains('\'') {
        return format!("'{text}'");
    }
    let parts: Vec<String> = text.split('\'').map(|part| format!("'{part}'")).collect();
    format!("concat({})", parts.join(", \"'\", "))
}

#[cfg(test)]
mod tests {
    use super::literal;

    #[test]
    fn quotes_survive_in_xpath() {
        assert_eq!(literal("Start"), "'Start'");
        assert_eq!(literal("it's"), "concat('it', \"'\", 's')");
    }
}
