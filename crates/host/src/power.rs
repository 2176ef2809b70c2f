//! What this host draws its power from.

use crate::system;

/// Whether it runs on its battery. One that does not tell is taken not to.
pub fn on_battery() -> bool {
    system::on_battery()
}

/// Whether one of a Linux host's supplies, given by their `type`, `scope` and `status`, is a battery
/// that the host itself is drawing from. A mouse has one, too, of the scope `Device`.
#[cfg(any(target_os = "linux", test))]
pub(crate) fn is_drawn<'a>(supplies: impl IntoIterator<Item = [&'a str; 3]>) -> bool {
    supplies.into_iter().any(|[kind, scope, status]| {
        kind == "Battery" && scope != "Device" && status == "Discharging"
    })
}

/// Whether `pmset -g batt` of macOS says so, in its first line.
#[cfg(any(target_os = "macos", test))]
pub(crate) fn says_battery(text: &str) -> bool {
    text.lines()
        .next()
        .is_some_and(|line| line.contains("'Battery Power'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_draws_from_a_battery_of_its_own_that_discharges() {
        let mains = ["Mains", "", ""];
        assert!(is_drawn([mains, ["Battery", "", "Discharging"]]));
        assert!(is_drawn([["Battery", "System", "Discharging"]]));
        assert!(!is_drawn([mains, ["Battery", "", "Charging"]]));
        assert!(!is_drawn([["Battery", "", "Full"]]));
        assert!(!is_drawn([["Battery", "Device", "Discharging"]]));
        assert!(!is_drawn([mains]) && !is_drawn([]));
    }

    #[test]
    fn pmset_names_the_source_first() {
        assert!(says_battery(
            "Now drawing from 'Battery Power'\n -InternalBattery-0 (id=1)\t97%; discharging\n"
        ));
        assert!(!says_battery(
            "Now drawing from 'AC Power'\n -InternalBattery-0 (id=1)\t100%; charged\n"
        ));
        assert!(!says_battery(""));
    }
}
