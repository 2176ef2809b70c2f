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
