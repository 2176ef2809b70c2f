//! Lets an arbitrary guest answer its agent's client, which must come to an end
//! and never keep more than it was told to.

#![no_main]

use std::cell::LazyCell;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use qemu::{Exec, GuestAgent};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::runtime::Runtime;

const LIMIT: Duration = Duration::from_secs(5);
const OUTPUT_LIMIT: usize = 64;

/// What the guest says to one request.
#[derive(arbitrary::Arbitrary, Debug)]
enum Answer {
    Anything(Vec<u8>),
    /// As the real agent answers `guest-sync-delimited`.
    Sync,
    Pid(i64),
    Running,
    Exited {
        code: i64,
        output: String,
    },
    Refused(String),
    Nothing,
}

thread_local! {
    static RUNTIME: LazyCell<Runtime> = const { LazyCell::new(|| {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            // Time passes only when nothing else can.
            .start_paused(true)
            .build()
            .unwrap()
    }) };
}

fuzz_target!(|answers: Vec<Answer>| {
    RUNTIME.with(|runtime| runtime.block_on(converse(answers)));
});

async fn converse(answers: Vec<Answer>) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let call = async {
        let mut agent = GuestAgent::over(ours);
        let exec = Exec {
            path: "/bin/true",
            args: &[],
            input: Some(b"0123456789abcdef"),
            capture: true,
            output_limit: OUTPUT_LIMIT,
        };
        match agent.exec(exec, LIMIT).await {
            Ok(result) => {
                assert!(result.stdout.len() <= OUTPUT_LIMIT);
                assert!(result.stderr.len() <= OUTPUT_LIMIT);
            }
            Err(error) => assert!(!format!("{error:?}").contains("0123456789abcdef")),
        }
        let _ = agent.get_time(LIMIT).await;
    };
    tokio::join!(call, guest(theirs, answers));
}

/// Ends when the client hangs up or there is nothing more to say; then it hangs up itself.
async fn guest(mut socket: UnixStream, answers: Vec<Answer>) {
    for answer in answers {
        let Some(request) = line(&mut socket).await else {
            return;
        };
        let said = match answer {
            Answer::Anything(bytes) => bytes,
            Answer::Sync => sync_answer(&request),
            Answer::Pid(pid) => format!("{{\"return\": {{\"pid\": {pid}}}}}\n").into_bytes(),
            Answer::Running => b"{\"return\": {\"exited\": false}}\n".to_vec(),
            Answer::Exited { code, output } => {
                let answer =
                    format!("\"exited\": true, \"exitcode\": {code}, \"out-data\": {output:?}");
                format!("{{\"return\": {{{answer}}}}}\n").into_bytes()
            }
            Answer::Refused(desc) => {
                format!("{{\"error\": {{\"class\": \"GenericError\", \"desc\": {desc:?}}}}}\n")
                    .into_bytes()
            }
            Answer::Nothing => continue,
        };
        if socket.write_all(&said).await.is_err() {
            return;
        }
    }
}

/// The next request, without what precedes its JSON.
async fn line(socket: &mut UnixStream) -> Option<String> {
    let mut line = Vec::new();
    loop {
        let byte = socket.read_u8().await.ok()?;
        if byte == b'\n' {
            return Some(String::from_utf8_lossy(&line).into_owned());
        }
        line.push(byte);
    }
}

fn sync_answer(request: &str) -> Vec<u8> {
    let id: String = request
        .rsplit("\"id\":")
        .next()
        .unwrap_or_default()
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    let mut answer = vec![0xff];
    answer.extend(format!("{{\"return\": {id}}}\n").bytes());
    answer
}
