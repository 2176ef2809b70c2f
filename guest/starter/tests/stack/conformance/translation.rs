//! What a run makes anew, set against what the recording had in its place.

use std::{
    collections::BTreeMap,
    time::{SystemTime, UNIX_EPOCH},
};

use base64ct::{Base64UrlUnpadded, Encoding as _};
use serde_json::Value;

/// How far a time of ours may be from now: the longest lifetime that the API gives is a week.
const NEAR_MILLIS: i64 = 8 * 24 * 60 * 60 * 1000;
/// From here on a number is a time in milliseconds.
const TIMES_FROM: i64 = 1_700_000_000_000;

/// Recorded values and those that this run has for them.
pub(super) struct Translation {
    values: BTreeMap<String, String>,
    /// Times by field and recorded value: what stayed the same in the recording has to stay so here.
    times: BTreeMap<(String, i64), i64>,
}

pub(super) fn now_millis() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(now.as_millis()).unwrap()
}

impl Translation {
    pub(super) fn new(backend_port: u16) -> Self {
        let mut translation = Self {
            values: BTreeMap::new(),
            times: BTreeMap::new(),
        };
        // Where the recorded backends were, as tokens and error texts name them.
        let ours = format!("http://127.0.0.1:{backend_port}/");
        translation.learn("http://localhost:8102/", &ours);
        translation.learn("http://localhost:38999/", &ours);
        let ours = format!("http://0.0.0.0:{backend_port}/");
        translation.learn("http://0.0.0.0:8102/", &ours);
        translation
    }

    pub(super) fn learn(&mut self, recorded: &str, ours: &str) {
        self.values.insert(recorded.to_owned(), ours.to_owned());
    }

    pub(super) fn knows(&self, recorded: &str) -> bool {
        self.values.contains_key(recorded)
    }

    /// A recorded text with all that is known in it replaced.
    pub(super) fn ours(&self, recorded: &str) -> String {
        let mut text = recorded.to_owned();
        // Longest first: a code holds its nonce, an API key the ID of its row.
        let mut known: Vec<_> = self.values.iter().collect();
        known.sort_by_key(|(recorded, _)| std::cmp::Reverse(recorded.len()));
        for (recorded, ours) in known {
            text = text.replace(recorded.as_str(), ours);
        }
        text
    }

    /// Compares two JSON values and learns from them.
    pub(super) fn compare(
        &mut self,
        recorded: &Value,
        ours: &Value,
        at: &str,
        differences: &mut Vec<String>,
    ) {
        match (recorded, ours) {
            (Value::Object(recorded), Value::Object(ours)) => {
                for (name, value) in recorded {
                    match ours.get(name) {
                        Some(ours) => {
                            self.compare(value, ours, &format!("{at}.{name}"), differences);
                        }
                        None => differences.push(format!("{at}.{name} is missing")),
                    }
                }
                for name in ours.keys().filter(|name| !recorded.contains_key(*name)) {
                    differences.push(format!("{at}.{name} is not in the recording"));
                }
            }
            (Value::Array(recorded), Value::Array(ours)) if recorded.len() == ours.len() => {
                for (index, (recorded, ours)) in recorded.iter().zip(ours).enumerate() {
                    self.compare(recorded, ours, &format!("{at}[{index}]"), differences);
                }
            }
            (Value::Number(recorded), Value::Number(ours)) => {
                let (Some(recorded), Some(ours)) = (recorded.as_i64(), ours.as_i64()) else {
                    differences.push(format!("{at} is {ours} instead of {recorded}"));
                    return;
                };
                self.compare_number(recorded, ours, at, differences);
            }
            (Value::String(recorded), Value::String(ours)) => {
                self.compare_text(recorded, ours, at, differences);
            }
            _ if recorded == ours => {}
            _ => differences.push(format!("{at} is {ours} instead of {recorded}")),
        }
    }

    fn compare_number(
        &mut self,
        recorded: i64,
        ours: i64,
        at: &str,
        differences: &mut Vec<String>,
    ) {
        let known = self.values.get(&recorded.to_string());
        let field = at.rsplit('.').next().unwrap_or_default().to_owned();
        let is_right = if let Some(known) = known {
            *known == ours.to_string()
        } else if recorded < TIMES_FROM {
            recorded == ours
        } else {
            let near = (ours - now_millis()).abs() < NEAR_MILLIS;
            near && *self.times.entry((field, recorded)).or_insert(ours) == ours
        };
        if !is_right {
            differences.push(format!("{at} is {ours}, which {recorded} was not before"));
        }
    }

    fn compare_text(
        &mut self,
        recorded: &str,
        ours: &str,
        at: &str,
        differences: &mut Vec<String>,
    ) {
        if let Some(known) = self.values.get(recorded) {
            if known != ours {
                differences.push(format!("{at} is {ours} instead of {known}"));
            }
            return;
        }
        if let (Some(theirs), Some(our_token)) = (Token::parse(recorded), Token::parse(ours)) {
            self.learn(recorded, ours);
            self.compare_tokens(&theirs, &our_token, at, differences);
            return;
        }
        if let Some(value) = recorded.strip_prefix('{')
            && value.ends_with('}')
            && let (Ok(recorded), Ok(ours)) = (
                serde_json::from_str(recorded),
                serde_json::from_str::<Value>(ours),
            )
        {
            return self.compare(&recorded, &ours, at, differences);
        }
        if is_made(recorded, at) {
            if shape(recorded) == shape(ours) {
                self.learn(recorded, ours);
            } else {
                differences.push(format!(
                    "{at} is {ours}, which has not the shape of {recorded}"
                ));
            }
        } else if self.ours(recorded) != ours {
            differences.push(format!(
                "{at} is {ours:?} instead of {:?}",
                self.ours(recorded)
            ));
        }
    }

    fn compare_tokens(
        &mut self,
        recorded: &Token,
        ours: &Token,
        at: &str,
        differences: &mut Vec<String>,
    ) {
        self.compare(
            &recorded.header,
            &ours.header,
            &format!("{at}.header"),
            differences,
        );
        let (mut theirs, mut mine) = (recorded.claims.clone(), ours.claims.clone());
        for claims in [&mut theirs, &mut mine] {
            // Seconds, of which only distances are comparable.
            let lifetime = claims["exp"].as_i64().zip(claims["iat"].as_i64());
            claims["lifetime"] = lifetime.map_or(Value::Null, |(end, start)| (end - start).into());
            for name in ["exp", "iat", "signed_up_at"] {
                let is_time = claims[name]
                    .as_i64()
                    .is_some_and(|time| time > 1_700_000_000);
                claims[name] = is_time.into();
            }
        }
        self.compare(&theirs, &mine, &format!("{at}.claims"), differences);
        // Names in their order as well: they are read by people, too.
        if recorded.order != ours.order {
            differences.push(format!("{at} has its claims in another order"));
        }
    }
}

/// A JSON web token, taken apart.
struct Token {
    header: Value,
    claims: Value,
    order: Vec<String>,
}

impl Token {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let (header, claims, signature) = (parts.next()?, parts.next()?, parts.next()?);
        let decode = |part| {
            let bytes = Base64UrlUnpadded::decode_vec(part).ok()?;
            String::from_utf8(bytes).ok()
        };
        let text = decode(claims)?;
        let is_signed =
            Base64UrlUnpadded::decode_vec(signature).is_ok_and(|bytes| bytes.len() == 64);
        (parts.next().is_none() && is_signed).then_some(())?;
        Some(Self {
            header: serde_json::from_str(&decode(header)?).ok()?,
            claims: serde_json::from_str(&text).ok()?,
            order: text
                .split([',', '{'])
                .filter_map(|entry| Some(entry.split_once(':')?.0.to_owned()))
                .collect(),
        })
    }
}

/// Whether a run makes this text anew, and so only its shape is comparable.
fn is_made(text: &str, at: &str) -> bool {
    let is_uuid = text.len() == 36 && text.bytes().filter(|byte| *byte == b'-').count() == 4;
    let is_token = text.len() >= 39
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let field = at.rsplit('.').next().unwrap_or_default();
    is_uuid || is_token || matches!(field, "last_four" | "kid" | "x" | "y")
}

/// Prefix, length and alphabet.
fn shape(text: &str) -> (usize, usize, String) {
    let prefix = text.split_once('_').map_or("", |(prefix, _)| prefix);
    let is_prefix = ["pck", "ssk", "sak", "sk", "pk"].contains(&prefix);
    let dashes = if text.len() == 36 {
        text.bytes().filter(|byte| *byte == b'-').count()
    } else {
        0
    };
    (
        text.len(),
        dashes,
        if is_prefix {
            prefix.to_owned()
        } else {
            String::new()
        },
    )
}
