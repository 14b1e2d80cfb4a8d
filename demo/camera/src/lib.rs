//! A window on what MobileOne sees.
//!
//! A source puts its newest frame into a slot ([`frame`]); the engine's thread takes it, uploads it once
//! ([`plate`]), runs the network from that texture ([`engine`]) and hands frame and labels to whoever draws
//! ([`view`], [`paint`]): the window ([`window`]) or a texture ([`headless`]).
//!
//! # Invariants
//! - One device draws and computes; a frame crosses to it once. Only the CPU executor reads frames on the host.
//! - Nothing queues: a frame that comes while the engine is busy replaces the one before it.
//! - A frame is drawn with its own labels, and never after a newer one.
//! - The window's thread never waits for a device that opens, a source, a model, a tuning or an answer.

pub mod args;
pub mod bars;
pub mod change;
pub mod controls;
pub mod convert;
pub mod engine;
pub mod figures;
pub mod frame;
pub mod gpu;
pub mod headless;
pub mod live;
pub mod load;
pub mod paint;
pub mod plain;
pub mod plate;
pub mod record;
pub mod scene;
pub mod source;
pub mod theme;
pub mod view;
pub mod window;
