//! The panel's side of a tray icon: a `StatusNotifierWatcher`, and a client of the icon's `dbusmenu`.

#![allow(
    clippy::needless_pass_by_value,
    clippy::unused_self,
    clippy::used_underscore_binding,
    reason = "the D-Bus interface's form, seen through the macro"
)]

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use zbus::blocking::{Connection, Proxy, connection::Builder};
use zbus::message::Header;
use zbus::proxy::CacheProperties;
use zbus::zvariant::{OwnedObjectPath, OwnedValue, Value};

use super::picture::Picture;
use super::{SOON, until};

const WATCHER: &str = "org.kde.StatusNotifierWatcher";
const ITEM: &str = "org.kde.StatusNotifierItem";
const MENU: &str = "com.canonical.dbusmenu";

/// An icon that registered: whose, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Registered {
    owner: String,
    path: String,
}

#[derive(Debug, Default)]
struct Items {
    newest: Mutex<Option<Registered>>,
    changed: Condvar,
}

struct Watcher {
    items: Arc<Items>,
}

#[zbus::interface(name = "org.kde.StatusNotifierWatcher")]
impl Watcher {
    /// The argument is a bus name, or, as Ayatana's library has it, the path of the caller's object.
    fn register_status_notifier_item(&self, service: &str, #[zbus(header)] header: Header<'_>) {
        let sender = header.sender().map(ToString::to_string).unwrap_or_default();
        let item = if service.starts_with('/') {
            Registered {
                owner: sender,
                path: service.to_owned(),
            }
        } else {
            Registered {
                owner: service.to_owned(),
                path: "/StatusNotifierItem".to_owned(),
            }
        };
        *self.items.newest.lock().expect("a lock") = Some(item);
        self.items.changed.notify_all();
    }

    fn register_status_notifier_host(&self, _service: &str) {}

    #[zbus(property)]
    fn registered_status_notifier_items(&self) -> Vec<String> {
        let newest = self.items.newest.lock().expect("a lock");
        newest
            .iter()
            .map(|item| format!("{}{}", item.owner, item.path))
            .collect()
    }

    #[zbus(property)]
    fn is_status_notifier_host_registered(&self) -> bool {
        true
    }

    #[zbus(property)]
    fn protocol_version(&self) -> i32 {
        0
    }
}

/// The panel.
#[derive(Debug)]
pub struct Tray {
    connection: Connection,
    items: Arc<Items>,
}

/// What a panel draws.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Icon {
    /// Name of the icon, which may be a path.
    pub name: String,
    /// Folder in which the name is looked for first.
    pub folder: String,
    /// What it is called.
    pub title: String,
}

/// A line of the menu.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MenuItem {
    /// What a person reads; empty for a separator.
    pub label: String,
    /// Whether it can be clicked.
    pub enabled: bool,
    /// Whether it bears a mark, for those that can.
    pub checked: bool,
    /// Its submenu.
    pub children: Vec<MenuItem>,
    id: i32,
}

/// A line of a menu as it crosses the bus.
type Node = (i32, HashMap<String, OwnedValue>, Vec<OwnedValue>);

impl Tray {
    /// Becomes the panel of the session at `bus`.
    pub(super) fn serve(bus: &str) -> Self {
        let items = Arc::new(Items::default());
        let watcher = Watcher {
            items: items.clone(),
        };
        let connection = Builder::address(bus)
            .and_then(|builder| builder.name(WATCHER))
            .and_then(|builder| builder.serve_at("/StatusNotifierWatcher", watcher))
            .and_then(Builder::build)
            .expect("a session bus on which the name is free");
        Self { connection, items }
    }

    /// Forgets the icon that registered last, for one that will.
    pub fn forget(&self) {
        *self.items.newest.lock().expect("a lock") = None;
    }

    /// The icon that registered last; waits for one.
    #[track_caller]
    fn item(&self) -> Registered {
        let newest = self.items.newest.lock().expect("a lock");
        let waited = self
            .items
            .changed
            .wait_timeout_while(newest, SOON, |newest| newest.is_none());
        let (newest, _) = waited.expect("a lock");
        newest.clone().expect("an icon in the tray")
    }

    fn proxy(&self, item: &Registered, path: &str, interface: &'static str) -> Proxy<'static> {
        zbus::blocking::proxy::Builder::new(&self.connection)
            .destination(item.owner.clone())
            .and_then(|builder| builder.path(path.to_owned()))
            .and_then(|builder| builder.interface(interface))
            // The icon's library says by signals of its own that something is new.
            .map(|builder| builder.cache_properties(CacheProperties::No))
            .and_then(zbus::blocking::proxy::Builder::build)
            .expect("an address")
    }

    /// What the panel would draw; waits for an icon.
    #[track_caller]
    pub fn icon(&self) -> Icon {
        let item = self.item();
        let proxy = self.proxy(&item, &item.path, ITEM);
        let text = |name| proxy.get_property::<String>(name).unwrap_or_default();
        Icon {
            name: text("IconName"),
            folder: text("IconThemePath"),
            title: text("Title"),
        }
    }

    /// Waits until the icon is the product's drawing of this name, such as `running-light`.
    #[track_caller]
    pub fn wait_for_drawing(&self, name: &str, limit: Duration) {
        let drawing = Picture::of_tray(name);
        until(&format!("the icon {name}"), limit, || {
            // A name that is a path is the file itself; it goes when the next one comes.
            let shown = Picture::read(Path::new(&self.icon().name))?;
            (shown == drawing).then_some(())
        });
    }

    /// The menu's address; `None` before there is one, as the icon registers first.
    fn menu_proxy(&self) -> Option<Proxy<'static>> {
        let item = self.item();
        let proxy = self.proxy(&item, &item.path, ITEM);
        let menu: OwnedObjectPath = proxy.get_property("Menu").ok()?;
        (menu.as_str() != "/NO_DBUSMENU").then(|| self.proxy(&item, menu.as_str(), MENU))
    }

    /// The whole menu; waits for an icon. `None` while it has none, or is being given another.
    #[track_caller]
    fn menu(&self) -> Option<Vec<MenuItem>> {
        let names: &[&str] = &[];
        let (_revision, root): (u32, Node) = self
            .menu_proxy()?
            .call("GetLayout", &(0_i32, -1_i32, names))
            .ok()?;
        Some(parse(root).map_or_else(Vec::new, |root| root.children))
    }

    /// Waits for an item that `wanted` picks anywhere in the menu.
    #[track_caller]
    pub fn wait_for(
        &self,
        what: &str,
        limit: Duration,
        wanted: impl Fn(&MenuItem) -> bool,
    ) -> MenuItem {
        let mut last = Vec::new();
        let waited = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            until(what, limit, || {
                last = self.menu()?;
                flat(&last).into_iter().find(|item| wanted(item)).cloned()
            })
        }));
        waited.unwrap_or_else(|_| panic!("waited for {what} in the menu:\n{}", outline(&last, 0)))
    }

    /// Waits for an enabled item called `label`, and clicks it.
    #[track_caller]
    pub fn click(&self, label: &str) {
        let what = format!("the enabled item {label:?}");
        until(&what, SOON, || {
            let item = self.wait_for(&what, SOON, |item| item.label == label && item.enabled);
            let event = (item.id, "clicked", Value::from(0_i32), 0_u32);
            // Refused where the menu was drawn anew in between: its items are others then.
            self.menu_proxy()?.call::<_, _, ()>("Event", &event).ok()
        });
    }
}

/// A menu as text, for people who look into a failure.
fn outline(items: &[MenuItem], depth: usize) -> String {
    let lines = items.iter().map(|item| {
        let state = if item.enabled { "" } else { " (disabled)" };
        let children = outline(&item.children, depth + 1);
        format!("{}{}{state}\n{children}", "  ".repeat(depth), item.label)
    });
    lines.collect()
}

/// All items, outer ones before those in them.
fn flat(items: &[MenuItem]) -> Vec<&MenuItem> {
    items
        .iter()
        .flat_map(|item| std::iter::once(item).chain(flat(&item.children)))
        .collect()
}

/// Nothing for an item that is not shown. What a node does not say has the protocol's default.
fn parse((id, properties, children): Node) -> Option<MenuItem> {
    let flag = |name: &str| {
        properties
            .get(name)
            .and_then(|value| bool::try_from(value).ok())
    };
    if flag("visible") == Some(false) {
        return None;
    }
    let label = properties
        .get("label")
        .and_then(|value| <&str>::try_from(value).ok())
        .unwrap_or_default();
    let toggled = properties
        .get("toggle-state")
        .and_then(|value| i32::try_from(value).ok());
    let children = children
        .into_iter()
        .map(|child| Node::try_from(child).expect("a menu's node"))
        .filter_map(parse)
        .collect();
    Some(MenuItem {
        label: without_mnemonics(label),
        enabled: flag("enabled").unwrap_or(true),
        checked: toggled == Some(1),
        children,
        id,
    })
}

/// An underscore marks the key of the letter after it; two stand for one.
fn without_mnemonics(label: &str) -> String {
    let parts: Vec<String> = label
        .split("__")
        .map(|part| part.replace('_', ""))
        .collect();
    parts.join("_")
}

#[cfg(test)]
mod tests {
    use super::without_mnemonics;

    #[test]
    fn mnemonics_are_not_read() {
        assert_eq!(without_mnemonics("_Start"), "Start");
        assert_eq!(without_mnemonics("my__app _x"), "my_app x");
    }
}
