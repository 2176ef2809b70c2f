//! Which graphics driver is loaded.

/// Whether NVIDIA's own driver is loaded. Only Linux has it as a loadable driver.
pub fn has_nvidia_driver() -> bool {
    crate::system::has_nvidia_driver()
}
