//! Lets arbitrary bytes play QEMU: whatever they say, the client must come to
//! an end, and answer only what was asked.

#![no_main]

use std::cell::LazyCell;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use qemu::Qmp;
use qemu::qapi_qmp::{query_name, query_status};
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::runtime::Runtime;

const LIMIT: Duration = Duration::from_secs(5);

/// How a conversation begins if it is to come to anything.
const OPENING: &[u8] = b"{\"QMP\": {\"version\": {\"qemu\": \
    {\"major\": 10, \"minor\": 0, \"micro\": 2}, \"package\": \"\"}, \"capabilities\": []}}\n\
    {\"return\": {}, \"id\": 1}\n";

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

fuzz_target!(|input: (bool, &[u8])| {
    let (polite, bytes) = input;
    RUNTIME.with(|runtime| runtime.block_on(converse(polite, bytes)));
});

async fn converse(polite: bool, bytes: &[u8]) {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let talk = async {
        // The client may hang up at any point, and is right to.
        if polite && theirs.write_all(OPENING).await.is_err() {
            return;
        }
        let _ = theirs.write_all(bytes).await;
        let _ = theirs.shutdown().await;
    };
    let listen = async {
        let Ok((qmp, _)) = Qmp::connect(ours, LIMIT).await else {
            return;
        };
        let mut events = qmp.subscribe();
        let (status, name) = tokio::join!(
            qmp.execute(query_status {}, LIMIT),
            qmp.execute(query_name {}, LIMIT),
        );
        drop((status, name));
        qmp.ended().await;
        while let Ok(_) | Err(qemu::QmpError::EventsLost { .. }) = events.next().await {}
        assert!(qmp.execute(query_name {}, LIMIT).await.is_err());
        qmp.close().await;
    };
    tokio::join!(talk, listen);
}
