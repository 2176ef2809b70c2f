//! Tests of what is read from answers, beside those against a server in `tests/`.

use super::*;

#[test]
fn the_next_page_is_seen_among_others() {
    let header = "<https://a/?page=1>; rel=\"prev\", <https://a/?page=3>; rel=\"next\"";
    assert!(links_to_next(header));
    assert!(!links_to_next("<https://a/?page=1>; rel=\"prev\""));
    assert!(!links_to_next(""));
}

#[test]
fn a_rate_limit_is_told_in_full_or_not_at_all() {
    let mut headers = HeaderMap::new();
    headers.insert("x-ratelimit-limit", HeaderValue::from_static("60"));
    headers.insert("x-ratelimit-remaining", HeaderValue::from_static("58"));
    assert_eq!(rate_limit_in(&headers), None);
    headers.insert("x-ratelimit-reset", HeaderValue::from_static("1700000000"));
    let whole = RateLimit {
        remaining: 58,
        limit: 60,
        resets_at: 1_700_000_000,
    };
    assert_eq!(rate_limit_in(&headers), Some(whole));
    headers.insert("x-ratelimit-reset", HeaderValue::from_static("soon"));
    assert_eq!(rate_limit_in(&headers), None);
}

#[test]
fn addresses_are_under_the_base_and_escaped() {
    let github = |api: &str| {
        GitHub::new(Options {
            api: Some(Url::parse(api).unwrap()),
            ..Options::default()
        })
        .unwrap()
    };
    let repo: Repo = "o/r".parse().unwrap();
    assert_eq!(
        github("https://ghe.example/api/v3/")
            .url(&repo, &["releases", "tags", "a/../b?c"])
            .as_str(),
        "https://ghe.example/api/v3/repos/o/r/releases/tags/a%2F..%2Fb%3Fc"
    );
    assert_eq!(
        github("https://api.example").asset_url(&repo, 7).as_str(),
        "https://api.example/repos/o/r/releases/assets/7"
    );
}

#[test]
fn an_address_that_is_no_api_is_refused_without_its_password() {
    for api in ["ftp://a/", "https://u:hunter2@a/", "https://a/?x=1"] {
        let error = GitHub::new(Options {
            api: Some(Url::parse(api).unwrap()),
            ..Options::default()
        })
        .unwrap_err();
        assert_eq!(error.code(), "github_api_address");
        assert!(!error.to_string().contains("hunter2"));
    }
}

#[test]
fn a_token_does_not_travel_unencrypted() {
    let github = |api: &str| {
        GitHub::new(Options {
            api: Some(Url::parse(api).unwrap()),
            token: Token::new("t".into()),
            ..Options::default()
        })
    };
    assert_eq!(
        github("http://mirror.example/").unwrap_err().code(),
        "token_in_clear"
    );
    github("http://127.0.0.1:1/").unwrap();
    github("https://mirror.example/").unwrap();
}
