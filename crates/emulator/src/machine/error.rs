//! Why a virtual machine does not come up, or does not do what it should.

use failure::Remedy;
use qemu::BinaryError;

use crate::config::variables;

/// What to do where there is no usable QEMU.
pub(crate) fn qemu_remedy(error: &BinaryError) -> Remedy {
    match error {
        BinaryError::NotFound { remedy, .. } | BinaryError::TooOld { remedy, .. } => {
            Remedy::InstallQemu { how: remedy }
        }
        BinaryError::NotExecutable { .. } => Remedy::CorrectVariable {
            variable: variables::QEMU,
        },
        BinaryError::Stat { .. }
        | BinaryError::NotRunnable { .. }
        | BinaryError::Died { .. }
        | BinaryError::Ask { .. } => Remedy::ReinstallQemu,
    }
}
