//! The switches of the panel.

use crate::{
    scene::{Action, Scene},
    source::{Source, camera::Wanted},
    theme::DIM,
};
use egui::{ComboBox, RichText, TextEdit, Ui, vec2};
use std::path::Path;

/// Sizes and rates that a camera may be asked for; 0 is what [`Wanted`] makes of it.
const SIZES: [(u32, u32); 4] = [(0, 0), (640, 480), (1280, 720), (1920, 1080)];
const RATES: [u32; 4] = [0, 15, 30, 60];

/// Draws them, with what is `typed` where things are opened, and whether the picture is shown as in a `mirror`; what a
/// hand did is added to `actions`.
pub fn draw(ui: &mut Ui, scene: &Scene, typed: &mut String, mirror: &mut bool, actions: &mut Vec<Action>) {
    let settings = scene.settings;
    let same = |text: &String| text.clone();
    let mut chosen = settings.model.clone();
    if choose(ui, "Model", &mut chosen, &models(scene), same) {
        actions.push(Action::Model(chosen));
    }
    let mut chosen = settings.device.clone();
    if choose(ui, "Device", &mut chosen, &devices(scene), same) {
        actions.push(Action::Device(chosen));
    }
    let mut chosen = settings.source.clone();
    let name = |source: &Source| match source {
        Source::Camera(wanted) => {
            let known = scene.cameras.iter().find(|(index, _)| *index == wanted.index);
            known.map_or_else(|| source.name(), |(_, name)| name.clone())
        }
        other => other.name(),
    };
    if choose(ui, "Source", &mut chosen, &sources(scene), name) {
        actions.push(Action::Source(chosen));
    }
    match &settings.source {
        Source::Camera(wanted) => camera(ui, wanted, actions),
        Source::Folder(_) => folder(ui, scene.plays, actions),
        _ => {}
    }
    ui.horizontal(|ui| {
        caption(ui, "Open");
        let hint = "file, address or hub id";
        let field = ui.add(TextEdit::singleline(typed).hint_text(hint).desired_width(f32::INFINITY));
        if field.lost_focus() && ui.input(|input| input.key_pressed(egui::Key::Enter)) {
            let typed = std::mem::take(typed);
            if !typed.trim().is_empty() {
                actions.push(open(typed.trim()));
            }
        }
    });
    ui.add_space(2.0);
    ui.horizontal(|ui| {
        let width = (ui.available_width() - 24.0) / 4.0;
        let mut toggle = |text: &str, on: bool| {
            let button = egui::Button::new(text).selected(on);
            ui.add_sized(vec2(width, 26.0), button).clicked()
        };
        if toggle("f16", settings.half) {
            actions.push(Action::Half(!settings.half));
        }
        if toggle("mirror", *mirror) {
            *mirror = !*mirror;
        }
        if toggle("freeze", scene.frozen) {
            actions.push(Action::Freeze);
        }
        if toggle("tune", scene.running.is_some_and(|running| running.tuning)) {
            actions.push(Action::Tune);
        }
    });
    ui.add_space(2.0);
    let line = match scene.running {
        Some(running) => {
            let does = if running.tuning { "is tuned" } else { "runs" };
            format!("{does} on {}, {}", running.on, if running.half { "f16" } else { "f32" })
        }
        None => "no model runs yet".into(),
    };
    ui.label(RichText::new(line).size(11.0).color(DIM));
    ui.label(RichText::new("? shows the keys").size(11.0).color(DIM));
}

/// What a file, an address or a name means: a checkpoint or an id is a model, all else a source.
pub fn open(text: &str) -> Action {
    let folder = Path::new(text).join("model.safetensors").is_file();
    if mobileone::named::is_weights_name(text) || folder {
        return Action::Model(text.into());
    }
    match Source::parse(text) {
        Ok(source) => Action::Source(source),
        Err(_) if mobileone::named::locate(Path::new(text)).is_ok() || text == mobileone::sample::NAME => {
            Action::Model(text.into())
        }
        Err(reason) => Action::Say(reason),
    }
}

/// Models to choose from: the built-in one, the hub's, and the one that is set.
pub fn models(scene: &Scene) -> Vec<String> {
    with(["digits", "s0", "s1", "s2", "s3", "s4"].map(String::from).to_vec(), scene.settings.model.clone())
}

/// Devices to choose from: those of this machine, and the one that is set.
pub fn devices(scene: &Scene) -> Vec<String> {
    let mut devices = vec!["auto".to_string(), "cpu".into()];
    devices.extend(scene.adapters.iter().cloned());
    with(devices, scene.settings.device.clone())
}

/// Sources to choose from: the scene, the cameras, and the one that is set.
pub fn sources(scene: &Scene) -> Vec<Source> {
    let mut sources = vec![Source::Synthetic];
    let now = &scene.settings.source;
    for (index, _) in scene.cameras {
        match now {
            Source::Camera(wanted) if wanted.index == *index => sources.push(now.clone()),
            _ => sources.push(Source::Camera(Wanted { index: *index, ..Wanted::default() })),
        }
    }
    with(sources, now.clone())
}

/// The one after `now`, if there is another.
pub fn next<T: Clone + PartialEq>(all: &[T], now: &T) -> Option<T> {
    let at = all.iter().position(|one| one == now)?;
    Some(all[(at + 1) % all.len()].clone()).filter(|next| next != now)
}

fn with<T: PartialEq>(mut all: Vec<T>, now: T) -> Vec<T> {
    if !all.contains(&now) {
        all.push(now);
    }
    all
}

fn caption(ui: &mut Ui, text: &str) {
    let label = egui::Label::new(RichText::new(text).size(12.0).color(DIM)).selectable(false);
    ui.allocate_ui_with_layout(vec2(48.0, 26.0), egui::Layout::left_to_right(egui::Align::Center), |ui| {
        ui.set_min_width(48.0);
        ui.add(label)
    });
}

fn choose<T: Clone + PartialEq>(
    ui: &mut Ui,
    title: &str,
    now: &mut T,
    all: &[T],
    name: impl Fn(&T) -> String,
) -> bool {
    let before = now.clone();
    ui.horizontal(|ui| {
        caption(ui, title);
        let width = ui.available_width();
        ComboBox::from_id_salt(title).width(width).selected_text(name(now)).truncate().show_ui(ui, |ui| {
            for one in all {
                ui.selectable_value(now, one.clone(), name(one));
            }
        });
    });
    *now != before
}

fn camera(ui: &mut Ui, wanted: &Wanted, actions: &mut Vec<Action>) {
    let mut chosen = *wanted;
    ui.horizontal(|ui| {
        caption(ui, "");
        let half = (ui.available_width() - 8.0) / 2.0;
        let size = |size: &(u32, u32)| {
            if size.0 == 0 { "any size".into() } else { format!("{} × {}", size.0, size.1) }
        };
        ComboBox::from_id_salt("size").width(half).selected_text(size(&chosen.size)).show_ui(ui, |ui| {
            SIZES.iter().for_each(|one| drop(ui.selectable_value(&mut chosen.size, *one, size(one))));
        });
        let rate = |rate: &u32| if *rate == 0 { "any rate".into() } else { format!("{rate} / s") };
        ComboBox::from_id_salt("rate").width(half).selected_text(rate(&chosen.rate)).show_ui(ui, |ui| {
            RATES.iter().for_each(|one| drop(ui.selectable_value(&mut chosen.rate, *one, rate(one))));
        });
    });
    if chosen != *wanted {
        actions.push(Action::Source(Source::Camera(chosen)));
    }
}

/// Leafs through a folder's pictures.
fn folder(ui: &mut Ui, plays: bool, actions: &mut Vec<Action>) {
    ui.horizontal(|ui| {
        caption(ui, "");
        const PREVIOUS: f32 = 76.0; // the longest word
        let width = (ui.available_width() - PREVIOUS - 16.0) / 2.0;
        let mut button = |text: &str, width, on: bool| {
            ui.add_sized(vec2(width, 26.0), egui::Button::new(text).selected(on)).clicked()
        };
        if button("previous", PREVIOUS, false) {
            actions.push(Action::Leaf(-1));
        }
        if button("play", width, plays) {
            actions.push(Action::Play(!plays));
        }
        if button("next", width, false) {
            actions.push(Action::Leaf(1));
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::Settings;

    /// What is dropped onto the window, or typed.
    #[test]
    fn what_is_opened_is_what_it_looks_like() {
        let images = concat!(env!("CARGO_MANIFEST_DIR"), "/../images");
        let picture = format!("{images}/two-on-phone.jpg");
        let rows = [
            (images, Action::Source(Source::Folder(images.into()))),
            (&picture, Action::Source(Source::Picture(picture.clone().into()))),
            ("/a/model.SAFETENSORS", Action::Model("/a/model.SAFETENSORS".into())),
            ("mobileone_s0.onnx", Action::Model("mobileone_s0.onnx".into())),
            ("weights.pth.tar", Action::Model("weights.pth.tar".into())),
            ("digits", Action::Model("digits".into())),
            ("s3", Action::Model("s3".into())),
            ("timm/mobileone_s1.apple_in1k", Action::Model("timm/mobileone_s1.apple_in1k".into())),
            ("rtsp://there/stream", Action::Source(Source::Video("rtsp://there/stream".into()))),
            ("synthetic", Action::Source(Source::Synthetic)),
            ("camera:2", Action::Source(Source::Camera(Wanted { index: 2, ..Wanted::default() }))),
            ("/no/such.jpg", Action::Say(String::new())),
        ];
        for (text, expected) in rows {
            match (open(text), expected) {
                (Action::Say(line), Action::Say(_)) => {
                    assert!(line.contains("no such file"), "{text}: {line}")
                }
                (found, expected) => assert_eq!(found, expected, "{text}"),
            }
        }
    }

    /// One key goes through everything, however often it is pressed.
    #[test]
    fn keys_go_round() {
        let camera = |index, rate| Source::Camera(Wanted { index, rate, ..Wanted::default() });
        let mut settings = Settings {
            model: "digits".into(),
            reading: Default::default(),
            device: "auto".into(),
            half: false,
            source: camera(1, 30),
            rate: 30.0,
            unpaced: false,
            yuv: None,
            keep: 1,
            tuning: Default::default(),
            place: None,
            gate: None,
        };
        let cameras = [(0, "first".into()), (1, "second".into())];
        let adapters = ["big".to_string(), "small".into()];
        let mut seen = (Vec::new(), Vec::new());
        for _ in 0..4 {
            let scene = Scene {
                shown: None,
                samples: &[],
                summary: Default::default(),
                settings: &settings,
                running: None,
                progress: None,
                lines: &Default::default(),
                adapters: &adapters,
                cameras: &cameras,
                frozen: false,
                plays: false,
            };
            let source = next(&sources(&scene), &settings.source).expect("another");
            let device = next(&devices(&scene), &settings.device).expect("another");
            (settings.source, settings.device) = (source.clone(), device.clone());
            seen.0.push(source);
            seen.1.push(device);
        }
        assert_eq!(seen.0, [Source::Synthetic, camera(0, 0), camera(1, 0), Source::Synthetic]);
        assert_eq!(seen.1, ["cpu", "big", "small", "auto"]);
    }

    #[test]
    fn the_next_one_is_another() {
        assert_eq!(next(&[1, 2, 3], &3), Some(1));
        assert_eq!((next(&[1], &1), next(&[1, 2], &5)), (None, None));
    }
}
