//! A file dragged from another program onto the app's window, by the X protocol of drag and drop (XDND 5).

use std::path::Path;
use std::time::{Duration, Instant};

use x11rb::connection::Connection as _;
use x11rb::protocol::Event;
use x11rb::protocol::xproto::{
    AtomEnum, ClientMessageEvent, ConnectionExt as _, CreateWindowAux, EventMask, PropMode,
    SELECTION_NOTIFY_EVENT, SelectionNotifyEvent, SelectionRequestEvent, Window, WindowClass,
};
use x11rb::rust_connection::RustConnection;
use x11rb::wrapper::ConnectionExt as _;

use super::{Desktop, LOOK_AGAIN, SOON};

x11rb::atom_manager! {
    /// The protocol's names.
    Atoms: AtomsCookie {
        XdndAware,
        XdndSelection,
        XdndEnter,
        XdndPosition,
        XdndStatus,
        XdndLeave,
        XdndDrop,
        XdndFinished,
        XdndActionCopy,
        UriList: b"text/uri-list",
    }
}

/// Version of the protocol that is spoken here.
const VERSION: u32 = 5;
/// A source may say again where the pointer is, and one does while it is held still.
const SAY_AGAIN: Duration = Duration::from_millis(100);

/// A drag over the app's window. The button is still held.
#[derive(Debug)]
pub struct Drag {
    connection: RustConnection,
    atoms: Atoms,
    source: Window,
    target: Window,
    uri: String,
    /// In the middle of the window, in pixels of the display.
    position: u32,
    accepted: bool,
    finished: bool,
}

impl Desktop {
    /// Drags a file onto the app's window, and waits until the window would take it.
    #[track_caller]
    pub fn drag(&self, file: &Path) -> Drag {
        let (connection, screen) =
            x11rb::connect(Some(&self.display.name())).expect("the display takes connections");
        let root = connection.setup().roots[screen].root;
        let atoms = Atoms::new(&connection).expect("a request");
        let atoms = atoms.reply().expect("names");
        let target = target_in(&connection, root, &atoms);
        let geometry = connection.get_geometry(target).expect("a request");
        let geometry = geometry.reply().expect("a window");
        let corner = connection.translate_coordinates(target, root, 0, 0);
        let corner = corner.expect("a request").reply().expect("a window");
        let middle = |corner: i16, length: u16| {
            u32::try_from(corner).unwrap_or_default() + u32::from(length) / 2
        };
        let position =
            (middle(corner.dst_x, geometry.width) << 16) | middle(corner.dst_y, geometry.height);
        let source = connection.generate_id().expect("an identifier");
        connection
            .create_window(
                0,
                source,
                root,
                0,
                0,
                1,
                1,
                0,
                WindowClass::INPUT_ONLY,
                x11rb::COPY_FROM_PARENT,
                &CreateWindowAux::new(),
            )
            .expect("a request");
        connection
            .set_selection_owner(source, atoms.XdndSelection, x11rb::CURRENT_TIME)
            .expect("a request");
        let path = file.to_str().expect("UTF-8");
        let mut drag = Drag {
            connection,
            atoms,
            source,
            target,
            uri: format!("file://{path}\r\n"),
            position,
            accepted: false,
            finished: false,
        };
        drag.say(atoms.XdndEnter, [VERSION << 24, atoms.UriList, 0, 0]);
        drag.converse("taking what is dragged", |drag| drag.accepted);
        drag
    }
}

/// The window that takes drops, which the app's own is and no other one of it.
#[track_caller]
fn target_in(connection: &RustConnection, root: Window, atoms: &Atoms) -> Window {
    let tree = connection.query_tree(root).expect("a request");
    let windows = tree.reply().expect("windows").children;
    let is_target = |window: &Window| {
        let viewable = connection
            .get_window_attributes(*window)
            .ok()
            .and_then(|asked| asked.reply().ok())
            .is_some_and(|it| it.map_state == x11rb::protocol::xproto::MapState::VIEWABLE);
        let aware = connection
            .get_property(false, *window, atoms.XdndAware, AtomEnum::ANY, 0, 1)
            .ok()
            .and_then(|asked| asked.reply().ok())
            .is_some_and(|it| it.value_len > 0);
        viewable && aware
    };
    windows
        .into_iter()
        .find(is_target)
        .expect("a window that takes drops")
}

impl Drag {
    /// Lets go over the window, and waits until the app has taken the file.
    #[track_caller]
    pub fn release(mut self) {
        self.say(self.atoms.XdndDrop, [0, x11rb::CURRENT_TIME, 0, 0]);
        self.converse("the end of the drop", |drag| drag.finished);
    }

    /// Moves on, out of the window.
    pub fn leave(self) {
        self.say(self.atoms.XdndLeave, [0; 4]);
        self.connection.sync().expect("the display answers");
    }

    fn say(&self, what: u32, [one, two, three, four]: [u32; 4]) {
        let data = [self.source, one, two, three, four];
        let message = ClientMessageEvent::new(32, self.target, what, data);
        self.connection
            .send_event(false, self.target, EventMask::NO_EVENT, message)
            .expect("a request");
        self.connection.flush().expect("the display listens");
    }

    /// Answers what the window asks, until `done`.
    #[track_caller]
    fn converse(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        let mut said = None;
        while !done(self) {
            assert!(begun.elapsed() < SOON, "waited for {what}");
            if !self.accepted && said.is_none_or(|at: Instant| at.elapsed() > SAY_AGAIN) {
                let copy = self.atoms.XdndActionCopy;
                self.say(
                    self.atoms.XdndPosition,
                    [0, self.position, x11rb::CURRENT_TIME, copy],
                );
                said = Some(Instant::now());
            }
            match self
                .connection
                .poll_for_event()
                .expect("the display is there")
            {
                Some(Event::SelectionRequest(request)) => self.hand_over(&request),
                Some(Event::ClientMessage(message)) if message.type_ == self.atoms.XdndStatus => {
                    self.accepted = message.data.as_data32()[1] & 1 == 1;
                }
                Some(Event::ClientMessage(message)) if message.type_ == self.atoms.XdndFinished => {
                    self.finished = true;
                }
                Some(_) => {}
                // Events of this connection come, but so does the time to say something again.
                None => std::thread::sleep(LOOK_AGAIN),
            }
        }
    }

    /// Gives what is dragged to any program that asks.
    fn hand_over(&self, request: &SelectionRequestEvent) {
        let known = request.target == self.atoms.UriList;
        if known {
            self.connection
                .change_property8(
                    PropMode::REPLACE,
                    request.requestor,
                    request.property,
                    request.target,
                    self.uri.as_bytes(),
                )
                .expect("a request");
        }
        let answer = SelectionNotifyEvent {
            response_type: SELECTION_NOTIFY_EVENT,
            sequence: 0,
            time: request.time,
            requestor: request.requestor,
            selection: request.selection,
            target: request.target,
            property: if known { request.property } else { x11rb::NONE },
        };
        self.connection
            .send_event(false, request.requestor, EventMask::NO_EVENT, answer)
            .expect("a request");
        self.connection.flush().expect("the display listens");
    }
}
