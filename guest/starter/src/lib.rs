//! The starter stack that runs inside the guest image.
