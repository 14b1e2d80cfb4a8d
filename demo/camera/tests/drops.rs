//! Files that are dropped onto the window, by a hand that does as file managers do (XDND 5).

use crate::{
    PATIENCE,
    desk::{Display, Window, quarters, shows, written},
    folder,
};
use std::{
    path::Path,
    time::{Duration, Instant},
};
use x11rb::{
    CURRENT_TIME,
    connection::Connection,
    protocol::{
        Event,
        xproto::{
            Atom, ClientMessageEvent, ConnectionExt as _, CreateWindowAux, EventMask, PropMode,
            SELECTION_NOTIFY_EVENT, SelectionNotifyEvent, SelectionRequestEvent, WindowClass,
        },
    },
    rust_connection::RustConnection,
    wrapper::ConnectionExt as _,
};

/// A hand over a window, with files in it.
pub struct Hand {
    connection: RustConnection,
    own: u32,
    target: u32,
    list: String,
}

impl Hand {
    /// Takes the files over the window, and waits until it knows which they are.
    pub fn over(window: &Window, files: &[&Path]) -> Hand {
        let (connection, screen) = x11rb::connect(Some(&window.display.1)).expect("the display answers");
        let root = connection.setup().roots[screen].root;
        let own = connection.generate_id().expect("an id");
        let (class, aux) = (WindowClass::INPUT_OUTPUT, CreateWindowAux::new());
        connection.create_window(0, own, root, 0, 0, 1, 1, 0, class, 0, &aux).expect("a window of its own");
        let target = window.id.parse().expect("xdotool's ids are numbers");
        let line =
            |file: &&Path| format!("file://{}\r\n", file.to_str().expect("a plain path").replace(' ', "%20"));
        let hand = Hand { connection, own, target, list: files.iter().map(line).collect() };
        let selection = hand.atom("XdndSelection");
        hand.connection.set_selection_owner(own, selection, CURRENT_TIME).expect("it is ours");
        hand.tell("XdndEnter", [5 << 24, hand.atom("text/uri-list"), 0, 0]);
        hand.tell("XdndPosition", [0, 200 << 16 | 200, CURRENT_TIME, hand.atom("XdndActionCopy")]);
        // It takes them at once, and asks which they are.
        let (mut taken, mut asked) = (false, false);
        while !(taken && asked) {
            match hand.next() {
                Event::SelectionRequest(request) => {
                    hand.serve(request);
                    asked = true;
                }
                Event::ClientMessage(message) if message.type_ == hand.atom("XdndStatus") => {
                    assert_eq!(message.data.as_data32()[1] & 1, 1, "the window refuses files");
                    taken = true;
                }
                _ => {}
            }
        }
        hand
    }

    /// Lets go of the files, and waits until the window has them.
    pub fn drops(self) {
        self.tell("XdndDrop", [0, CURRENT_TIME, 0, 0]);
        loop {
            match self.next() {
                Event::ClientMessage(message) if message.type_ == self.atom("XdndFinished") => {
                    assert_eq!(message.data.as_data32()[1] & 1, 1, "the window took nothing");
                    break;
                }
                Event::SelectionRequest(request) => self.serve(request),
                _ => {}
            }
        }
    }

    /// Goes on with the files.
    pub fn leaves(self) {
        self.tell("XdndLeave", [0; 4]);
        self.connection.sync().expect("the display answers");
    }

    fn atom(&self, name: &str) -> Atom {
        let asked = self.connection.intern_atom(false, name.as_bytes()).expect("the display answers");
        asked.reply().expect("every name has a number").atom
    }

    fn tell(&self, what: &str, [a, b, c, d]: [u32; 4]) {
        let message = ClientMessageEvent::new(32, self.target, self.atom(what), [self.own, a, b, c, d]);
        self.connection.send_event(false, self.target, EventMask::NO_EVENT, message).expect("it is sent");
        self.connection.flush().expect("the display answers");
    }

    fn serve(&self, request: SelectionRequestEvent) {
        let SelectionRequestEvent { time, requestor, selection, target, property, .. } = request;
        assert_eq!(target, self.atom("text/uri-list"));
        let list = self.list.as_bytes();
        let mode = PropMode::REPLACE;
        self.connection.change_property8(mode, requestor, property, target, list).expect("it is sent");
        let response_type = SELECTION_NOTIFY_EVENT;
        let told =
            SelectionNotifyEvent { response_type, sequence: 0, time, requestor, selection, target, property };
        self.connection.send_event(false, requestor, EventMask::NO_EVENT, told).expect("it is sent");
        self.connection.flush().expect("the display answers");
    }

    fn next(&self) -> Event {
        let begun = Instant::now();
        loop {
            if let Some(event) = self.connection.poll_for_event().expect("the display answers") {
                return event;
            }
            assert!(begun.elapsed() < PATIENCE, "the window does not answer the hand");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// A picture and a checkpoint are used, together or alone; what is neither is told of, and the rest goes on.
#[test]
fn dropped_files_are_used() {
    let Some(display) = Display::open() else { return };
    let folder = folder("drops");
    let [first, second] = ["first.png", "a second.png"].map(|name| folder.join(name));
    quarters(&first, [0, 1, 2, 3]);
    quarters(&second, [3, 2, 1, 0]);
    let [model, garbage] = ["own.safetensors", "garbage.safetensors"].map(|name| folder.join(name));
    std::fs::write(&model, mobileone::sample::DIGITS).expect("the folder can be written");
    std::fs::write(&garbage, [0x7f; 5000]).expect("the folder can be written");
    let source = first.to_str().expect("a plain path");
    let args = ["--source", source, "--device", "cpu", "--json"];
    let mut window = Window::open(&display, &folder, &args, "1");
    window.until("the picture", |shot| shows(shot, 300.0, [0, 1, 2, 3]));

    // Under the hand the picture is dark, and says what may be dropped.
    let hand = Hand::over(&window, &[&second, &model]);
    window.until("the word to drop", |shot| {
        let letters = (250..550).flat_map(|x| (335..365).map(move |y| shot.get_pixel(x, y).0));
        !shows(shot, 300.0, [0, 1, 2, 3])
            && letters.filter(|pixel| pixel.iter().all(|value| *value > 180)).count() > 100
    });
    hand.leaves();
    window.until("the picture again", |shot| shows(shot, 300.0, [0, 1, 2, 3]));

    Hand::over(&window, &[&second, &model]).drops();
    window.until("the picture that was dropped", |shot| shows(shot, 300.0, [3, 2, 1, 0]));
    window.until("no word of it", |shot| !written(shot));
    Hand::over(&window, &[&garbage]).drops();
    window.until("a line", |shot| shows(shot, 300.0, [3, 2, 1, 0]) && written(shot));

    let figures = window.quit();
    let found = ["source", "model"].map(|name| figures[name].as_str().unwrap_or_default());
    assert_eq!(found, ["a second.png", model.to_str().expect("a plain path")], "{figures}");
    std::fs::remove_dir_all(folder).ok();
}
