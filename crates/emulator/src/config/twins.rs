//! Variables that have two names: one of newer published tools, and an older one.
//!
//! Both are read. Where both are set they must agree, as those tools want it: which of two values somebody
//! means is not guessed.

use std::collections::{BTreeMap, BTreeSet};

use super::values::{OrNote as _, Variables};
use super::variables::{
    HEXCLAVE_PUBLIC_PORT_PREFIX, PORT_PREFIX, PORT_RANGE, PUBLIC_PORT_PREFIX, Settings,
    SettingsError,
};

/// What the newer name of a port's variable has before the older one.
const NEWER: &str = "STACK_";

/// The older name of a variable that sets a host port, `EMULATOR_…_PORT`, by either of its names.
fn older(name: &str) -> Option<&str> {
    let older = name.strip_prefix(NEWER).unwrap_or(name);
    (older.starts_with("EMULATOR_") && older.ends_with("_PORT")).then_some(older)
}

/// The host ports that `variables` set, by the older names. What cannot be used is noted.
pub(super) fn ports(
    variables: &Variables<'_>,
    invalid: &mut Vec<SettingsError>,
) -> BTreeMap<String, u16> {
    let names: BTreeSet<_> = variables.0.keys().filter_map(|name| older(name)).collect();
    let mut ports = BTreeMap::new();
    for name in names {
        let newer = format!("{NEWER}{name}");
        let port = variables
            .either(&newer, name)
            .and_then(|set| variables.number(set, PORT_RANGE, "a port from 1024 to 65535"))
            .or_note(invalid);
        ports.extend(port.map(|port| (name.to_owned(), port)));
    }
    ports
}

/// The variables that set `ports`, by the names that are set.
pub(super) fn port_variables(
    variables: &Variables<'_>,
    ports: &BTreeMap<String, u16>,
) -> Vec<String> {
    let names = ports
        .keys()
        .flat_map(|name| [format!("{NEWER}{name}"), name.clone()]);
    names.filter(|name| variables.raw(name).is_some()).collect()
}

/// The variable that sets the port prefix. The apps' own are heeded only where the general one is unset.
pub(super) fn port_prefix(variables: &Variables<'_>) -> Result<&'static str, SettingsError> {
    if variables.raw(PORT_PREFIX).is_some() {
        return Ok(PORT_PREFIX);
    }
    variables.either(HEXCLAVE_PUBLIC_PORT_PREFIX, PUBLIC_PORT_PREFIX)
}

impl Settings {
    /// The host port that the environment sets by the variable `name`, or by its other name.
    pub(crate) fn port_by(&self, name: &str) -> Option<u16> {
        self.ports.get(older(name)?).copied()
    }

    /// The name of the variable `name` that is set, if it has two and the other one is.
    pub(crate) fn name_in_use(&self, name: String) -> String {
        let newer = older(&name).map(|older| format!("{NEWER}{older}"));
        newer
            .filter(|newer| self.overrides.contains(newer))
            .unwrap_or(name)
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use proptest::prelude::*;

    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Settings {
        let home = [("HOME", "/home/ada")];
        let all = home.iter().chain(pairs);
        Settings::from_variables(
            all.map(|(name, value)| (OsString::from(name), OsString::from(value))),
        )
        .unwrap()
    }

    #[test]
    fn either_name_sets_a_port() {
        let older = "EMULATOR_BACKEND_PORT";
        let newer = "STACK_EMULATOR_BACKEND_PORT";
        for pairs in [
            &[(older, "30001")][..],
            &[(newer, "30001")],
            &[(older, "30001"), (newer, "30001")],
            &[(older, ""), (newer, "30001")],
        ] {
            let settings = read(pairs);
            settings.refuse_invalid().unwrap();
            assert_eq!(settings.port_by(older), Some(30001), "{pairs:?}");
            // An image may say either.
            assert_eq!(settings.port_by(newer), Some(30001), "{pairs:?}");
            let set = pairs.iter().filter(|(_, value)| !value.is_empty());
            assert_eq!(settings.overrides.len(), set.count(), "{pairs:?}");
        }
        assert_eq!(read(&[(newer, "30001")]).name_in_use(older.into()), newer);
        assert_eq!(read(&[(older, "30001")]).name_in_use(older.into()), older);
        assert_eq!(read(&[]).name_in_use("OTHER".into()), "OTHER");
    }

    #[test]
    fn two_names_with_different_values_are_both_named() {
        for (newer, older, values) in [
            (
                "STACK_EMULATOR_X_PORT",
                "EMULATOR_X_PORT",
                ["30001", "30002"],
            ),
            (
                HEXCLAVE_PUBLIC_PORT_PREFIX,
                PUBLIC_PORT_PREFIX,
                ["91", "92"],
            ),
        ] {
            let settings = read(&[(newer, values[0]), (older, values[1])]);
            assert_eq!(settings.invalid.len(), 1, "{:?}", settings.invalid);
            let said = settings.refuse_invalid().unwrap_err().to_string();
            for part in [newer, older, values[0], values[1]] {
                assert!(said.contains(part), "{said}");
            }
        }
    }

    #[test]
    fn the_prefix_has_three_names() {
        for (pairs, prefix) in [
            (&[(HEXCLAVE_PUBLIC_PORT_PREFIX, "91")][..], 91),
            (
                &[
                    (HEXCLAVE_PUBLIC_PORT_PREFIX, "91"),
                    (PUBLIC_PORT_PREFIX, "91"),
                ],
                91,
            ),
            (&[(PUBLIC_PORT_PREFIX, "92")], 92),
            (
                &[
                    (PORT_PREFIX, "70"),
                    (HEXCLAVE_PUBLIC_PORT_PREFIX, "91"),
                    (PUBLIC_PORT_PREFIX, "92"),
                ],
                70,
            ),
        ] {
            let settings = read(pairs);
            settings.refuse_invalid().unwrap();
            assert_eq!(settings.port_prefix, prefix, "{pairs:?}");
        }
        let settings = read(&[(HEXCLAVE_PUBLIC_PORT_PREFIX, "x")]);
        let said = settings.refuse_invalid().unwrap_err().to_string();
        assert!(said.contains(HEXCLAVE_PUBLIC_PORT_PREFIX), "{said}");
    }

    proptest! {
        #[test]
        fn a_port_is_taken_whole_or_noted(newer in "[0-9]{0,5}", older in "[0-9]{0,5}") {
            let names = ["STACK_EMULATOR_X_PORT", "EMULATOR_X_PORT"];
            let settings = read(&[(names[0], &newer), (names[1], &older)]);
            let usable = |text: &str| text.parse::<u64>().ok().filter(|port| PORT_RANGE.contains(port));
            let expected = match (newer.as_str(), older.as_str()) {
                ("", one) | (one, "") => usable(one),
                (one, two) => usable(one).filter(|_| one == two),
            };
            prop_assert_eq!(settings.port_by(names[0]).map(u64::from), expected);
            let unset = newer.is_empty() && older.is_empty();
            prop_assert_eq!(settings.invalid.len(), usize::from(expected.is_none() && !unset));
        }
    }
}
