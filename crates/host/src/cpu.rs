//! Model and features of the processors.

use crate::system;

/// Model and features of the first processor: a text that is only compared. Cheap on any host.
///
/// Features come and go with firmware settings, and with the hypervisor below this host.
pub fn model() -> String {
    system::cpu_model()
}

/// Model and features of all processors, which a guest with a passed-through CPU sees: a text that
/// is only compared.
pub fn all_models() -> String {
    system::cpu_models()
}

/// Whether the system runs virtual machines by the processor's own means, where it tells without a try: macOS
/// does, and says no where it is itself in a virtual machine that does not pass them on.
pub fn has_hypervisor() -> Option<bool> {
    system::has_hypervisor()
}

/// What `kern.hv_support` of macOS means.
#[cfg(any(target_os = "macos", test))]
pub(crate) fn says_hypervisor(value: &str) -> Option<bool> {
    match value.trim() {
        "0" => Some(false),
        "1" => Some(true),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hypervisor_is_there_or_not_or_nobody_says() {
        let told = ["1\n", "0", "", "yes"].map(says_hypervisor);
        assert_eq!(told, [Some(true), Some(false), None, None]);
    }
}
