//! One real Postgres for each test binary, with a database for each test.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use tokio_postgres::{NoTls, SimpleQueryMessage};

use super::payload;

const BIN: &str = "/usr/lib/postgresql/15/bin";

/// Keeps its server alive by holding on to the standard input of the script that runs it.
struct Cluster {
    folder: PathBuf,
    _script: Child,
}

/// Runs the server until standard input closes, which happens however the test process ends.
const SCRIPT: &str = r#"
set -eu
folder=$1 bin=$2 conf=$3
cd "$folder"
"$bin/initdb" --pgdata=data --username=postgres --auth=trust --encoding=UTF8 --locale=C.UTF-8 \
    --no-sync --no-instructions >/dev/null
cat "$conf" >data/postgresql.conf
"$bin/postgres" -D data -c fsync=off -c unix_socket_directories="$folder" -c max_connections=200 >log 2>&1 &
server=$!
until "$bin/pg_isready" -q -h "$folder"; do
    kill -0 $server 2>/dev/null || { cat log >&2; exit 1; }
    sleep 0.05
done
echo ready
read -r _ || true
kill -QUIT $server
wait $server || true
rm -rf "$folder"
"#;

fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| {
        assert!(
            Path::new(BIN).join("postgres").exists(),
            "these tests need the Debian package postgresql-15"
        );
        let folder = tempfile::tempdir().unwrap().keep();
        let conf = folder.join("postgresql.conf");
        fs::copy(payload("files/opt/stack/share/postgresql.conf"), &conf).unwrap();
        // Postgres refuses to run as root; the package comes with a user for it.
        let mut command = if rustix::process::geteuid().is_root() {
            for path in [&folder, &conf] {
                let owned = Command::new("chown")
                    .arg("postgres:")
                    .arg(path)
                    .status()
                    .unwrap();
                assert!(owned.success());
            }
            fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--"]);
            command.arg("sh");
            command
        } else {
            Command::new("sh")
        };
        let mut script = command
            .args(["-c", SCRIPT, "postgres"])
            .arg(&folder)
            .arg(BIN)
            .arg(&conf)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut word = String::new();
        BufReader::new(script.stdout.take().unwrap())
            .read_line(&mut word)
            .unwrap();
        assert_eq!(word, "ready\n", "Postgres did not start");
        let cluster = Cluster {
            folder,
            _script: script,
        };
        let connection = format!(
            "host={} user=postgres dbname=postgres",
            cluster.folder.display()
        );
        run(&connection, "CREATE ROLE stack LOGIN");
        run(&connection, "CREATE DATABASE installed");
        let schema = fs::read_to_string(payload("files/opt/stack/share/schema.sql")).unwrap();
        let connection = format!(
            "host={} user=postgres dbname=installed",
            cluster.folder.display()
        );
        run(&connection, &schema);
        cluster
    })
}

/// A database as the image has it after its installation.
pub struct Database {
    name: String,
}

impl Database {
    pub fn create() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        static COPYING: std::sync::Mutex<()> = std::sync::Mutex::new(());
        let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let database = Self { name };
        // A template cannot be copied by two at once.
        let guard = COPYING.lock().unwrap();
        Self::run_elsewhere(&format!(
            "CREATE DATABASE {} TEMPLATE installed",
            database.name
        ));
        drop(guard);
        database
    }

    pub fn connection_string(&self, user: &str) -> String {
        format!(
            "host={} user={user} dbname={}",
            cluster().folder.display(),
            self.name
        )
    }

    /// Runs SQL in the database as its owner; gives the rows of all statements.
    #[track_caller]
    pub fn run(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        run(&self.connection_string("postgres"), sql)
    }

    /// Runs SQL outside of the database.
    fn run_elsewhere(sql: &str) {
        let folder = cluster().folder.display();
        run(&format!("host={folder} user=postgres dbname=postgres"), sql);
    }

    /// From now on the database refuses connections, and those that were open are gone.
    pub fn refuse(&self) {
        Self::run_elsewhere(&format!(
            "ALTER DATABASE {} ALLOW_CONNECTIONS false",
            self.name
        ));
        self.terminate_all();
    }

    pub fn accept(&self) {
        Self::run_elsewhere(&format!(
            "ALTER DATABASE {} ALLOW_CONNECTIONS true",
            self.name
        ));
    }

    /// Cuts all connections to the database.
    pub fn terminate_all(&self) {
        Self::run_elsewhere(&format!(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
             WHERE datname = '{}' AND pid <> pg_backend_pid()",
            self.name
        ));
    }
}

#[track_caller]
fn run(connection: &str, sql: &str) -> Vec<Vec<Option<String>>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (client, driver) = tokio_postgres::connect(connection, NoTls).await.unwrap();
        let driver = tokio::spawn(driver);
        let rows = client.simple_query(sql).await.unwrap();
        drop(client);
        driver.await.unwrap().unwrap();
        rows.into_iter()
            .filter_map(|message| match message {
                SimpleQueryMessage::Row(row) => Some(
                    (0..row.len())
                        .map(|index| row.get(index).map(str::to_owned))
                        .collect(),
                ),
                _ => None,
            })
            .collect()
    })
}

/// A lock on the internal key set, held until dropped.
pub struct RowLock {
    _release: tokio::sync::oneshot::Sender<()>,
}

impl Database {
    /// Locks the row that rotations update, as a forgotten `psql` session would.
    pub fn hold_row_lock(&self) -> RowLock {
        let connection = self.connection_string("postgres");
        let (locked, is_locked) = std::sync::mpsc::channel();
        let (release, released) = tokio::sync::oneshot::channel::<()>();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let (client, driver) = tokio_postgres::connect(&connection, NoTls).await.unwrap();
                tokio::spawn(driver);
                let sql = r#"BEGIN; SELECT 1 FROM "ApiKeySet" FOR UPDATE"#;
                client.batch_execute(sql).await.unwrap();
                locked.send(()).unwrap();
                let _ = released.await;
            });
        });
        is_locked.recv().unwrap();
        RowLock { _release: release }
    }
}
