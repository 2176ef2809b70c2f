//! The resident: a process that waits on a virtio-serial port for the host, so that a resumed machine
//! gets its clock and its secrets without a single process being started in it.
//!
//! A start by the guest agent spawns `date` and `trigger-fast-rotate`, and under emulation a spawned
//! process is code that has to be translated first: most of a start's time. This process was running
//! when the snapshot was taken, is blocked in a wait when it is resumed, and does the same things by
//! the same code. The guest agent's way stays, for hosts that know nothing of the port.
//!
//! ```text
//!  host                                guest
//!  hello 5f3a            ─▶
//!                        ◀─  hello 5f3a 1795448400000000000     the guest's clock, Unix time in ns
//!  reseed 64 hex digits  ─▶                                      with the greeting, if it was resumed
//!                        ◀─  ok                                 the kernel's random generator is renewed
//!  shift 86400000000000  ─▶
//!                        ◀─  time 1795534800000000000           the clock after that
//!  rotate                ─▶
//!  NAME=value, 4 lines
//!  end                   ─▶
//!                        ◀─  ok                                 or: failed <exit code> <why>
//!  port backend 26721    ─▶
//!                        ◀─  ok                                 links lead there from now on
//!  sync                  ─▶
//!                        ◀─  ok                                 file systems are on the disk
//! ```
//!
//! Requests are answered one after the other. `hello` drops whatever an earlier host left unfinished, and its
//! word in the answer tells the new host where its conversation begins. [`protocol`] is the parser.

mod port;
pub mod protocol;
mod seed;

use std::{io, time::Duration};

use rustix::time::{ClockId, Timespec};

use self::protocol::{Input, Request, RequestError};
pub use self::{
    port::Port,
    seed::{Seed, SeedError},
};
use crate::{report, rotation, settings::Settings};

/// The port's name, as the host gives it to QEMU.
pub const PORT: &str = "/dev/virtio-ports/org.stack-emulator.rotate.0";

/// Bytes of a failure's explanation; what the host shows is one line.
const MAX_REASON: usize = 500;
/// How long the host may take to read an answer of one line before it is given up.
const WRITE_LIMIT: Duration = Duration::from_secs(5);

/// Answers the host for ever.
///
/// # Errors
/// When the port itself fails; that of one answer is not such a failure.
pub fn serve(port: &Port, settings: &Settings) -> io::Error {
    let mut input = Input::default();
    loop {
        if let Err(error) = converse(port, settings, &mut input) {
            return error;
        }
        input.reset();
        if let Err(error) = port.wait() {
            return error;
        }
    }
}

/// Answers what there is to answer, until the host has gone.
fn converse(port: &Port, settings: &Settings, input: &mut Input) -> io::Result<()> {
    // Full size from the start, and wiped: the keys pass through here.
    let mut bytes = zeroize::Zeroizing::new([0; 1024]);
    loop {
        match port.read(&mut *bytes) {
            Ok(0) => return Ok(()),
            Ok(length) => {
                let mut rest = &bytes[..length];
                while let Some(request) = input.next_request(&mut rest) {
                    let answer = answer(request, settings);
                    if let Err(error) = port.write_all(answer.as_bytes(), WRITE_LIMIT) {
                        report::log("the host did not take an answer", &error);
                    }
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => port.wait()?,
            Err(error) => return Err(error),
        }
    }
}

/// Does what is asked and says so, in one line.
fn answer(request: Result<Request, RequestError>, settings: &Settings) -> String {
    match request {
        Ok(Request::Hello(word)) => format!("hello {word} {}\n", now()),
        Ok(Request::Reseed(seed)) => match seed.renew_generator() {
            Ok(()) => "ok\n".to_owned(),
            Err(error) => failed(3, &report::chain(&error)),
        },
        Ok(Request::Shift(by)) => match shift(by) {
            Ok(()) => format!("time {}\n", now()),
            Err(error) => failed(3, &report::chain(&error)),
        },
        Ok(Request::Rotate(new)) => match rotation::rotate(settings, &new) {
            Ok(()) => "ok\n".to_owned(),
            Err(error) => failed(error.exit_code(), &report::chain(&error)),
        },
        Ok(Request::Port { service, port }) => match settings.moved_ports.note(&service, port) {
            Ok(()) => "ok\n".to_owned(),
            Err(error) => failed(1, &report::chain(&error)),
        },
        Ok(Request::Sync) => {
            rustix::fs::sync();
            "ok\n".to_owned()
        }
        Err(error) => failed(2, &report::chain(&error)),
    }
}

fn failed(code: u8, reason: &str) -> String {
    let line: String = reason
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(MAX_REASON)
        .collect();
    format!("failed {code} {line}\n")
}

/// The wall clock, Unix time in nanoseconds.
fn now() -> i128 {
    let now = rustix::time::clock_gettime(ClockId::Realtime);
    i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec)
}

/// Moves the wall clock by nanoseconds.
fn shift(by: i64) -> io::Result<()> {
    let to = now() + i128::from(by);
    let seconds = i64::try_from(to.div_euclid(1_000_000_000)).map_err(io::Error::other)?;
    let nanoseconds = i64::try_from(to.rem_euclid(1_000_000_000)).map_err(io::Error::other)?;
    rustix::time::clock_settime(
        ClockId::Realtime,
        Timespec {
            tv_sec: seconds,
            tv_nsec: nanoseconds,
        },
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead as _, BufReader, Write as _},
        os::unix::net::UnixStream,
    };

    use super::*;

    /// A resident on one end of a socket, and the other end.
    fn resident() -> BufReader<UnixStream> {
        let (host, guest) = UnixStream::pair().unwrap();
        host.set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        std::thread::spawn(move || {
            let port = Port::new(guest.into()).unwrap();
            serve(&port, &Settings::paths_only())
        });
        BufReader::new(host)
    }

    fn ask(host: &mut BufReader<UnixStream>, request: &str) -> String {
        host.get_mut().write_all(request.as_bytes()).unwrap();
        let mut line = String::new();
        host.read_line(&mut line).unwrap();
        line
    }

    #[test]
    fn hello_tells_the_time() {
        let answer = ask(&mut resident(), "hello abc\n");
        let rest = answer.strip_prefix("hello abc ").unwrap();
        let time: i128 = rest.trim_end().parse().unwrap();
        assert!((now() - time).abs() < 60_000_000_000, "{time}");
    }

    #[test]
    fn requests_in_pieces_and_together_are_answered_in_order() {
        let mut host = resident();
        host.get_mut().write_all(b"hel").unwrap();
        assert!(ask(&mut host, "lo a\nsync\nhello b\n").starts_with("hello a "));
        assert_eq!(ask(&mut host, ""), "ok\n");
        assert!(ask(&mut host, "").starts_with("hello b "));
    }

    #[test]
    fn what_is_not_understood_is_said_and_does_not_end_the_conversation() {
        let mut host = resident();
        let answer = ask(&mut host, "dance\n");
        assert!(answer.starts_with("failed 2 "), "{answer}");
        assert!(ask(&mut host, "hello a\n").starts_with("hello a "));
    }

    #[test]
    fn explanations_are_one_short_line() {
        let line = failed(3, &"a\nb\u{1b}".repeat(1000));
        assert_eq!(line.matches('\n').count(), 1);
        assert!(line.len() < MAX_REASON + 20);
    }
}
