//! Facts about the host that decide whether something measured earlier still holds.

#[cfg(target_os = "linux")]
mod system {
    use std::fs::File;
    use std::io::{self, Read as _};

    /// How much of `/proc/cpuinfo` is read: the first CPU is enough, and every further one costs.
    const CPUINFO_READ: u64 = 4096;

    pub(crate) fn boot_id() -> io::Result<String> {
        Ok(std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?
            .trim()
            .to_owned())
    }

    pub(crate) fn cpu_model() -> String {
        let mut text = Vec::new();
        let read = File::open("/proc/cpuinfo")
            .and_then(|file| file.take(CPUINFO_READ).read_to_end(&mut text));
        if let Err(error) = read {
            tracing::debug!(%error, "cannot read /proc/cpuinfo");
        }
        let text = String::from_utf8_lossy(&text);
        let field = |name: &str| {
            text.lines()
                .filter_map(|line| line.split_once(':'))
                .find(|(key, _)| key.trim() == name)
                .map_or("", |(_, value)| value.trim())
        };
        // Flags come and go with firmware settings and with the hypervisor below us.
        [
            field("model name"),
            field("CPU part"),
            field("flags"),
            field("Features"),
        ]
        .join("|")
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::io;
    use std::process::Command;

    fn sysctl(name: &str) -> io::Result<String> {
        let output = Command::new("/usr/sbin/sysctl")
            .args(["-n", name])
            .output()?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    pub(crate) fn boot_id() -> io::Result<String> {
        sysctl("kern.bootsessionuuid")
    }

    pub(crate) fn cpu_model() -> String {
        sysctl("machdep.cpu.brand_string").unwrap_or_default()
    }
}

pub(crate) use system::{boot_id, cpu_model};
