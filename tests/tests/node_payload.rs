//! The example of a payload on Node: what guest/PAYLOAD.md advises, tried.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "this is test code: what is not as expected fails the test"
)]

use std::path::PathBuf;

use e2e::{PLACEHOLDER_PCK, World, node_image, try_client_key};
use serde_json::Value;

fn captured() -> World {
    let world = World::with_image(node_image());
    world.run(["capture", "--json"]).ok();
    world
}

/// A project of an app developer.
fn app(world: &World) -> PathBuf {
    let folder = world.user_home().canonicalize().unwrap().join("shop");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(
        folder.join("stack.config.ts"),
        "export const config = {};\n",
    )
    .unwrap();
    folder
}

/// What `credentials` gives in the folder of `app`.
fn credentials(world: &World, app: &PathBuf) -> Value {
    let mut command = world.command(["credentials", "--json"]);
    let output = command.current_dir(app).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn keys_are_replaced_by_a_reload_and_no_random_value_comes_twice() {
    let world = captured();
    let folder = app(&world);
    let mut seen = vec![];
    for _ in 0..2 {
        let started = world.start();
        assert_eq!(started["start"]["kind"], "resumed", "{started}");
        assert_eq!(try_client_key(PLACEHOLDER_PCK), 401);
        assert_eq!(try_client_key(&world.secret("pck")), 200);
        let process = [
            "show",
            "--property=MainPID,NRestarts",
            "node-reload.service",
        ];
        let (status, process) = world.in_guest("/usr/bin/systemctl", &process);
        assert_eq!(status, 0, "{process}");
        let given = credentials(&world, &folder);
        assert_eq!(given, credentials(&world, &folder));
        seen.push((process, given, world.secret("pck")));
        world.discard();
    }
    let [(process, given, key), (again, other, next)] = &seen[..] else {
        unreachable!("two starts")
    };
    assert_eq!(process, again, "the process that was captured goes on");
    assert_ne!(key, next);
    for name in ["project_id", "publishable_client_key", "secret_server_key"] {
        assert!(given[name].is_string(), "{given}");
        assert_ne!(given[name], other[name], "{name}");
    }
}

#[test]
fn a_service_that_cannot_reload_keeps_the_keys_it_has() {
    let world = captured();
    world.start();
    let key = world.secret("pck");
    // It gets no answer, as from a process that hangs.
    let hang = "kill -STOP $(systemctl show --property=MainPID --value node-reload.service)";
    assert_eq!(world.in_guest("/bin/sh", &["-c", hang]).0, 0);
    let rotate = "for name in STACK_SEED_INTERNAL_PROJECT_PUBLISHABLE_CLIENT_KEY \
                  STACK_SEED_INTERNAL_PROJECT_SECRET_SERVER_KEY \
                  STACK_SEED_INTERNAL_PROJECT_SUPER_SECRET_ADMIN_KEY CRON_SECRET; do \
                  echo $name=$(printf %064d 7); done | /usr/local/bin/trigger-fast-rotate; echo said $?";
    let (_, said) = world.in_guest("/bin/sh", &["-c", rotate]);
    assert!(said.ends_with("said 1\n"), "{said}");
    assert_eq!(try_client_key(&key), 200, "{said}");
    assert_eq!(try_client_key(&format!("{:0>64}", 7)), 401);
    world.discard();
}
