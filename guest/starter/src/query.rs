//! Entries that are added to the query of an address.

/// The address `url` with entries in its query, in place of those that have the same name. What comes after
/// a hash stays at the end.
#[must_use]
pub fn with_entries(url: &str, entries: &[(&str, &str)]) -> String {
    let (address, fragment) = match url.split_once('#') {
        Some((address, fragment)) => (address, Some(fragment)),
        None => (url, None),
    };
    let (page, query) = address.split_once('?').unwrap_or((address, ""));
    let is_replaced = |part: &&str| {
        let name = form_urlencoded::parse(part.as_bytes()).next();
        name.is_some_and(|(name, _)| entries.iter().any(|(new, _)| *new == name))
    };
    // The rest is kept as it was written.
    let mut parts: Vec<String> = query
        .split('&')
        .filter(|part| !part.is_empty() && !is_replaced(part))
        .map(str::to_owned)
        .collect();
    parts.extend(
        entries
            .iter()
            .map(|entry| encoded(std::slice::from_ref(entry))),
    );
    let mut text = page.to_owned();
    if !parts.is_empty() {
        text.push('?');
        text.push_str(&parts.join("&"));
    }
    if let Some(fragment) = fragment {
        text.push('#');
        text.push_str(fragment);
    }
    text
}

/// Entries as a query has them.
#[must_use]
pub fn encoded(entries: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new())
        .extend_pairs(entries)
        .finish()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_address_keeps_what_it_had() {
        for (url, expected) in [
            ("http://a/b", "http://a/b?code=c%26"),
            ("http://a/b?", "http://a/b?code=c%26"),
            ("http://a/b?x=1&y", "http://a/b?x=1&y&code=c%26"),
            ("http://a/b?code=old&x=%20", "http://a/b?x=%20&code=c%26"),
            ("http://a/b?c%6Fde=old", "http://a/b?code=c%26"),
            (
                "http://a/b?x=1#f?code=z",
                "http://a/b?x=1&code=c%26#f?code=z",
            ),
        ] {
            assert_eq!(with_entries(url, &[("code", "c&")]), expected);
        }
        assert_eq!(with_entries("http://a/?x", &[]), "http://a/?x");
    }

    proptest! {
        #[test]
        fn what_was_added_is_found_again(
            query in "[a-z=&%0-9]{0,20}", name in "[a-z]{1,5}", value in ".{0,20}",
        ) {
            let url = with_entries(&format!("http://a/?{query}"), &[(&name, &value)]);
            let (_, query) = url.split_once('?').unwrap();
            let found: Vec<_> = form_urlencoded::parse(query.as_bytes())
                .filter(|(other, _)| *other == name)
                .collect();
            prop_assert_eq!(found.len(), 1);
            prop_assert_eq!(&found[0].1, &value);
        }
    }
}
