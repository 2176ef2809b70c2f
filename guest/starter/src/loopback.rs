//! Whether what a browser says of a request names this machine: the check against DNS rebinding. A page elsewhere whose
//! name is made to lead to 127.0.0.1 would otherwise count as one of ours.

/// Whether an authority, with or without a port, names this machine.
pub(crate) fn is_loopback(authority: &str) -> bool {
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => authority,
    };
    let host = host.to_ascii_lowercase();
    matches!(host.as_str(), "localhost" | "127.0.0.1" | "[::1]") || host.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_count() {
        for authority in [
            "localhost:26703",
            "127.0.0.1:26703",
            "127.0.0.1",
            "[::1]:1",
            "LOCALHOST",
            "a.localhost:1",
        ] {
            assert!(is_loopback(authority), "{authority}");
        }
        for authority in [
            "evil.example",
            "localhost.evil.example:26703",
            "127.0.0.1.evil.example",
            "127.0.0.1:x",
            "",
            "xlocalhost",
        ] {
            assert!(!is_loopback(authority), "{authority}");
        }
    }
}
