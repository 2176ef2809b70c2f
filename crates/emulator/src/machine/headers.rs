//! The headers of requests to a backend, which have two names.
//!
//! Backends of before mid-2026 know `x-stack-…` alone, and newer ones may come to know `x-hexclave-…` alone;
//! so a request has each under both.

/// A request that headers are given to.
pub(crate) trait BothNames {
    /// Gives it a header under both names; `rest` is what both end with, such as `project-id`.
    fn backend_header(self, rest: &str, value: &str) -> Self;
}

impl BothNames for reqwest::RequestBuilder {
    fn backend_header(self, rest: &str, value: &str) -> Self {
        self.header(format!("x-hexclave-{rest}"), value)
            .header(format!("x-stack-{rest}"), value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_has_two_names_and_one_value() {
        let request = reqwest::Request::new(
            reqwest::Method::GET,
            images::Url::parse("http://127.0.0.1/").unwrap(),
        );
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(images::http::no_tls().unwrap())
            .build()
            .unwrap();
        let request = reqwest::RequestBuilder::from_parts(client, request)
            .backend_header("project-id", "internal")
            .build()
            .unwrap();
        for name in ["x-hexclave-project-id", "x-stack-project-id"] {
            assert_eq!(request.headers()[name], "internal");
        }
    }
}
