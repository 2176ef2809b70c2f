//! The name `localhost`, where it leads to other programs than the emulator's services.

use failure::Remedy;

use super::{Check, Verdict};
use crate::machine::ports::OtherListener;

/// What is found of `others`; `None` if there are none, which is nothing to tell.
pub(super) fn check(others: &[OtherListener]) -> Option<Check> {
    let lines: Vec<_> = others.iter().map(ToString::to_string).collect();
    (!lines.is_empty()).then(|| Check {
        id: "localhost",
        title: "The name localhost",
        verdict: Verdict::Warning,
        detail: lines.join("\n"),
        evidence: None,
        remedy: Some(Remedy::UseIpv4Address),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_localhost_leads_to_is_a_warning() {
        assert_eq!(check(&[]), None);
        let other = OtherListener {
            service: "dashboard".into(),
            port: 26700,
            owner: Some("node (pid 7)".into()),
        };
        let check = check(&[other]).unwrap();
        assert_eq!(check.verdict, Verdict::Warning);
        assert_eq!(check.remedy, Some(Remedy::UseIpv4Address));
        for known in ["localhost:26700", "dashboard", "node (pid 7)"] {
            assert!(check.detail.contains(known), "{check:?}");
        }
    }
}
