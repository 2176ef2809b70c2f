//! What the kernel's texts mean.

use std::ffi::OsString;
use std::net::SocketAddrV4;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use crate::ports::Connections;
use crate::process::Stage;

/// The kernel's flag of a process that is exiting: it runs nothing of its program any more, its
/// memory is given back, and its state becomes `Z` only when that is done.
const PF_EXITING: u64 = 0x4;

/// What the kernel adds to the path of a program whose file was replaced or removed.
const DELETED: &[u8] = b" (deleted)";

/// What is used of `/proc/PID/stat`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) stage: Stage,
    /// Clock ticks since boot.
    pub(super) start_ticks: u64,
    /// User and system time.
    pub(super) cpu_ticks: u64,
}

pub(super) fn stat(text: &str) -> Option<Stat> {
    // The second field is the program's name in parentheses, and may hold anything.
    let (_, rest) = text.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    // The manual counts from 1, and two fields are cut off.
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    let stage = match *fields.first()? {
        "Z" | "X" | "x" => Stage::Ended,
        _ if number(9)? & PF_EXITING != 0 => Stage::Exiting,
        "T" | "t" => Stage::Stopped,
        _ => Stage::Running,
    };
    Some(Stat {
        stage,
        start_ticks: number(22)?,
        cpu_ticks: number(14)? + number(15)?,
    })
}

/// The parent's process id, by `/proc/PID/stat`.
pub(super) fn parent(text: &str) -> Option<u32> {
    let (_, rest) = text.rsplit_once(") ")?;
    rest.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// The arguments in `/proc/PID/cmdline`. A program that names itself has all in one, and zeros behind it.
pub(super) fn arguments(text: &[u8]) -> Vec<String> {
    text.split(|&byte| byte == 0)
        .filter(|argument| !argument.is_empty())
        .map(|argument| String::from_utf8_lossy(argument).into_owned())
        .collect()
}

/// The user whose rights a process has, by its `/proc/PID/status`.
pub(super) fn effective_user(status: &str) -> Option<u32> {
    // Real, effective, saved, and that for files.
    value(status, "Uid")?
        .split_ascii_whitespace()
        .nth(1)?
        .parse()
        .ok()
}

/// The program that `/proc/PID/exe` leads to, whether its file is still there or not.
pub(super) fn program(link: PathBuf) -> PathBuf {
    match link.as_os_str().as_bytes().strip_suffix(DELETED) {
        Some(path) => OsString::from_vec(path.to_vec()).into(),
        None => link,
    }
}

/// The number in a link of `/proc/PID/ns`, such as `pid:[4026531836]`.
pub(super) fn namespace(link: &Path) -> Option<u64> {
    let (_, number) = link.to_str()?.split_once(":[")?;
    number.strip_suffix(']')?.parse().ok()
}

/// The user in the line of `/proc/net/tcp` that is about the end `client` of a connection to `server`.
pub(super) fn user_of_connection(
    text: &str,
    client: SocketAddrV4,
    server: SocketAddrV4,
) -> Option<u32> {
    // The kernel prints the address's four bytes as one number of this machine.
    let written = |address: SocketAddrV4| {
        let number = u32::from_ne_bytes(address.ip().octets());
        format!("{number:08X}:{:04X}", address.port())
    };
    let (client, server) = (written(client), written(server));
    text.lines().find_map(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let is_it = fields.next() == Some(&client) && fields.next() == Some(&server);
        // State, queues, timer, retransmissions come before it.
        is_it.then(|| fields.nth(4)?.parse().ok()).flatten()
    })
}

/// The connections to `ports` on the loopback, by the lines of `/proc/net/tcp` and `tcp6`.
pub(super) fn connections(text: &str, ports: &[u16]) -> Connections {
    /// `TCP_ESTABLISHED`, `TCP_SYN_RECV` and `TCP_LISTEN` of the kernel's `tcp_states.h`.
    const ESTABLISHED: &str = "01";
    const COMING: &str = "03";
    const LISTENING: &str = "0A";
    // The last of the words of an address, each printed as one number of this machine: that of IPv4 in either form.
    let port_on_loopback = |end: &str| {
        let (address, port) = end.split_once(':')?;
        let last = address.get(address.len().checked_sub(8)?..)?;
        let last = u32::from_str_radix(last, 16).ok()?.to_ne_bytes();
        let port = u16::from_str_radix(port, 16).ok()?;
        (last[0] == 127).then_some(port)
    };
    let mut found = Connections::default();
    for line in text.lines() {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let (Some(own), Some(other), Some(state)) = (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let (Some(own), Some(other)) = (port_on_loopback(own), port_on_loopback(other)) else {
            continue;
        };
        let ends = match (ports.contains(&own), ports.contains(&other)) {
            (true, _) => (other, own),
            (false, true) => (own, other),
            (false, false) => continue,
        };
        match state {
            LISTENING => {}
            // Each is told of twice: by the end that has it open, and by the other.
            ESTABLISHED | COMING => found.open |= ports.contains(&own),
            _ => drop(found.ended.insert(ends)),
        }
    }
    found
}

/// The first value of `name` in lines of the form `name : value`.
pub(super) fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.trim() == name)
        .map(|(_, value)| value.trim())
}

/// The value of `name` in a line such as `MemTotal:  16 kB`, in bytes.
pub(super) fn bytes(text: &str, name: &str) -> Option<u64> {
    let kib: u64 = value(text, name)?.strip_suffix(" kB")?.parse().ok()?;
    Some(kib << 10)
}

/// The lines that begin with one of `names`, each once and in order.
pub(super) fn distinct_lines<'a>(text: &'a str, names: &[&str]) -> Vec<&'a str> {
    let mut lines: Vec<&str> = text
        .lines()
        .filter(|line| names.iter().any(|name| line.starts_with(name)))
        .collect();
    lines.sort_unstable();
    lines.dedup();
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    const CPUINFO: &str = "\
processor\t: 0
vendor_id\t: GenuineIntel
model name\t: Intel(R) Xeon(R) Processor @ 2.60GHz
cpu MHz\t\t: 2600.000
flags\t\t: fpu vme sse

processor\t: 1
vendor_id\t: GenuineIntel
model name\t: Intel(R) Xeon(R) Processor @ 2.60GHz
cpu MHz\t\t: 2601.000
flags\t\t: fpu vme sse
";

    #[test]
    fn the_user_of_a_connection_is_that_of_its_own_end() {
        let line = |client: &str, server: &str, user: u32| {
            format!(
                "   0: {client} {server} 01 00000000:00000000 00:00000000 00000000  {user}        0 28038 1 0 100 0"
            )
        };
        let address = |port| SocketAddrV4::new([127, 0, 0, 1].into(), port);
        let written = |port: u16| format!("{:08X}:{port:04X}", u32::from_ne_bytes([127, 0, 0, 1]));
        let text = [
            "  sl  local_address rem_address   st tx_queue".to_owned(),
            line(&written(9), &written(8), 1001),
            line(&written(8), &written(9), 1000),
            line(&written(9), &written(7), 1002),
            "short".to_owned(),
        ]
        .join("\n");
        let user = |client, server| user_of_connection(&text, address(client), address(server));
        assert_eq!(
            (user(9, 8), user(8, 9), user(9, 7)),
            (Some(1001), Some(1000), Some(1002))
        );
        assert_eq!((user(7, 9), user(9, 9)), (None, None));
        assert_eq!(user_of_connection("", address(9), address(8)), None);
    }

    #[test]
    fn connections_are_open_or_have_ended() {
        let loopback = format!("{:08X}", u32::from_ne_bytes([127, 0, 0, 1]));
        let mapped = format!("0000000000000000{:08X}{loopback}", 0xFFFF_u32.to_be());
        let elsewhere = format!("{:08X}", u32::from_ne_bytes([10, 0, 0, 1]));
        let line = |own: &str, own_port: u16, other: &str, other_port: u16, state: &str| {
            format!(
                "   0: {own}:{own_port:04X} {other}:{other_port:04X} {state} 00000000:00000000 00:0 0 0 0 1\n"
            )
        };
        let told = |lines: &[String]| connections(&lines.concat(), &[26700, 26701]);
        let listening = line(&loopback, 26700, "00000000", 0, "0A");
        assert_eq!(
            told(std::slice::from_ref(&listening)),
            Connections::default()
        );
        let open = line(&loopback, 26701, &loopback, 5000, "01");
        assert!(told(&[listening, open]).open);
        // By the client alone it is not open any more.
        assert!(!told(&[line(&loopback, 5000, &loopback, 26701, "01")]).open);
        let ended = told(&[
            line(&loopback, 5000, &loopback, 26701, "06"),
            line(&mapped, 5001, &mapped, 26700, "06"),
            line(&loopback, 26700, &loopback, 5002, "08"),
            line(&elsewhere, 5003, &elsewhere, 26700, "06"),
            line(&loopback, 5004, &loopback, 8080, "06"),
            "  sl  local_address rem_address   st\n".to_owned(),
        ]);
        assert!(!ended.open);
        let ends = [(5000, 26701), (5001, 26700), (5002, 26700)];
        assert_eq!(ended.ended.into_iter().collect::<Vec<_>>(), ends);
    }

    fn stage(text: &str) -> Option<Stage> {
        stat(text).map(|stat| stat.stage)
    }

    #[test]
    fn a_process_is_alive_until_it_exits() {
        let live = "2130 (qemu-system-x86) S 1 2130 2130 0 -1 4194560 20213 0 12 0 417 93 0 0 20 0 \
                    6 0 48211 5263790080 131072 18446744073709551615 1 1 0 0 0 0 0 4096 16963 0 0";
        assert_eq!(
            stat(live),
            Some(Stat {
                stage: Stage::Running,
                start_ticks: 48211,
                cpu_ticks: 510,
            })
        );
        // Killed a moment ago: it still runs, inside the kernel, and has no memory.
        let dying = "2130 (qemu-system-x86) R 1 2130 2130 0 -1 4195588 20213 0 12 0 417 95 0 0 20 \
                     0 1 0 48211 0 0 18446744073709551615 0 0 0 0 0 0 0 0 16963 0 0";
        assert_eq!(stage(dying), Some(Stage::Exiting));
        for stopped in [") T ", ") t "] {
            assert_eq!(stage(&live.replace(") S ", stopped)), Some(Stage::Stopped));
        }
        let dead = live.replace(") S ", ") Z ");
        assert_eq!(stage(&dead), Some(Stage::Ended));
    }

    #[test]
    fn the_program_name_may_look_like_fields() {
        let tail = "1 1 1 0 -1 4194304 0 0 0 0 1 2 0 0 20 0 1 0 4242 0 0";
        let live = format!("7 (a) Z 1) S {tail}");
        assert_eq!(stage(&live), Some(Stage::Running));
        assert_eq!(stat(&live).unwrap().start_ticks, 4242);
        assert_eq!(stage(&format!("7 (a) Z {tail}")), Some(Stage::Ended));
        assert_eq!(stat("7 (a) S 1 2"), None);
        assert_eq!(stat("nonsense"), None);
    }

    #[test]
    fn the_effective_user_counts() {
        let status = "Name:\tqemu\nUmask:\t0022\nState:\tS (sleeping)\nPid:\t2130\n\
                      Uid:\t1000\t1001\t1002\t1003\nGid:\t100\t100\t100\t100\n";
        assert_eq!(effective_user(status), Some(1001));
        assert_eq!(effective_user("Name:\tUid\n"), None);
    }

    #[test]
    fn a_command_line_is_read_as_it_was_given() {
        assert_eq!(arguments(b"node\0a b.js\0dev\0"), ["node", "a b.js", "dev"]);
        assert_eq!(arguments(b"next-server (v15)\0\0\0"), ["next-server (v15)"]);
        assert_eq!(arguments(b""), Vec::<String>::new());
        assert_eq!(parent("12 (a) b) S 7 12 12"), Some(7));
        assert_eq!(parent("12"), None);
    }

    #[test]
    fn a_replaced_program_keeps_its_path() {
        for (link, path) in [
            ("/usr/bin/qemu-system-x86_64", "/usr/bin/qemu-system-x86_64"),
            (
                "/usr/bin/qemu-system-x86_64 (deleted)",
                "/usr/bin/qemu-system-x86_64",
            ),
        ] {
            assert_eq!(program(link.into()), Path::new(path));
        }
    }

    #[test]
    fn a_namespace_is_a_number() {
        assert_eq!(
            namespace(Path::new("pid:[4026531836]")),
            Some(4_026_531_836)
        );
        assert_eq!(namespace(Path::new("pid:4026531836")), None);
        assert_eq!(namespace(Path::new("pid:[]")), None);
    }

    #[test]
    fn memory_is_told_in_kib() {
        let meminfo = "MemTotal:        8137412 kB\nMemFree:          412336 kB\n\
                       MemAvailable:    5120000 kB\nHugePages_Total:       0\n";
        assert_eq!(bytes(meminfo, "MemTotal"), Some(8_137_412 << 10));
        assert_eq!(bytes(meminfo, "MemAvailable"), Some(5_120_000 << 10));
        assert_eq!(bytes(meminfo, "Mem"), None);
        assert_eq!(bytes(meminfo, "HugePages_Total"), None);
        let rollup = "55e3c0-7ffd1 ---p 00000000 00:00 0   [rollup]\n\
                      Rss:              520192 kB\nPss:              519000 kB\n\
                      Anonymous:         98304 kB\n";
        assert_eq!(bytes(rollup, "Rss"), Some(520_192 << 10));
        assert_eq!(bytes(rollup, "Anonymous"), Some(98_304 << 10));
    }

    #[test]
    fn each_kind_of_processor_is_told_once() {
        assert_eq!(value(CPUINFO, "flags"), Some("fpu vme sse"));
        assert_eq!(
            distinct_lines(CPUINFO, &["vendor_id", "model name", "flags"]),
            [
                "flags\t\t: fpu vme sse",
                "model name\t: Intel(R) Xeon(R) Processor @ 2.60GHz",
                "vendor_id\t: GenuineIntel",
            ]
        );
    }
}
