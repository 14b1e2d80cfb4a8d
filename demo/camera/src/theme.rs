//! Colours and sizes of the window.

use egui::{Color32, CornerRadius, Stroke, Style, Theme, Vec2, Visuals, style::WidgetVisuals};

/// Behind the picture.
pub const NIGHT: Color32 = Color32::from_rgb(9, 11, 15);
/// Behind the panel.
pub const PANEL: Color32 = Color32::from_rgb(17, 20, 27);
/// Cards and fields on the panel.
pub const CARD: Color32 = Color32::from_rgb(26, 31, 41);
/// Edges of cards, tracks of bars.
pub const EDGE: Color32 = Color32::from_rgb(42, 49, 63);
/// Text.
pub const TEXT: Color32 = Color32::from_rgb(236, 240, 246);
/// Captions.
pub const DIM: Color32 = Color32::from_rgb(138, 149, 168);
/// What counts.
pub const ACCENT: Color32 = Color32::from_rgb(84, 224, 196);
/// What is not as it was asked for.
pub const WARN: Color32 = Color32::from_rgb(244, 196, 96);
/// The second thing that counts.
pub const SECOND: Color32 = Color32::from_rgb(96, 150, 250);

/// Width of the panel, in points.
pub const PANEL_WIDTH: f32 = 300.0;

/// Sets a context up.
pub fn apply(context: &egui::Context) {
    context.set_theme(Theme::Dark);
    context.style_mut_of(Theme::Dark, style);
}

fn style(style: &mut Style) {
    let mut visuals = Visuals::dark();
    visuals.panel_fill = PANEL;
    visuals.window_fill = CARD;
    visuals.window_stroke = Stroke::new(1.0, EDGE);
    visuals.extreme_bg_color = NIGHT;
    visuals.override_text_color = Some(TEXT);
    visuals.weak_text_color = Some(DIM);
    visuals.selection.bg_fill = Color32::from_rgb(38, 96, 92);
    visuals.selection.stroke = Stroke::new(1.0, ACCENT);
    let widget = |fill, edge, text| WidgetVisuals {
        bg_fill: fill,
        weak_bg_fill: fill,
        bg_stroke: Stroke::new(1.0, edge),
        corner_radius: CornerRadius::same(6),
        fg_stroke: Stroke::new(1.0, text),
        expansion: 0.0,
    };
    visuals.widgets.noninteractive = widget(PANEL, EDGE, DIM);
    visuals.widgets.inactive = widget(CARD, EDGE, TEXT);
    visuals.widgets.hovered = widget(Color32::from_rgb(36, 43, 56), DIM, TEXT);
    visuals.widgets.active = widget(EDGE, ACCENT, TEXT);
    visuals.widgets.open = widget(EDGE, EDGE, TEXT);
    style.visuals = visuals;
    style.spacing.item_spacing = Vec2::new(8.0, 6.0);
    style.spacing.button_padding = Vec2::new(10.0, 4.0);
    style.spacing.interact_size.y = 26.0;
    style.spacing.combo_height = 320.0;
}
