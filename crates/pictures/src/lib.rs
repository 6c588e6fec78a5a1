//! Pictures of an image classifier's results.
//!
//! Plain data in, [SVG] text out; [`png()`] renders an SVG. This crate does not depend on networks,
//! files or terminals.
//!
//! ```
//! use resnet_pictures::{Cell, Picture, Theme, grid, png};
//!
//! let picture = Picture::new(2, 1, vec![255, 0, 0, 0, 0, 255]); // a red and a blue pixel
//! let cell = Cell {
//!     picture,
//!     predicted: "flag".into(),
//!     truth: "flag".into(),
//!     correct: true,
//!     confidence: Some(0.93),
//!     file: None,
//! };
//! let svg = grid(&[cell], ("1 of 1 correct", "two pixels"), &Theme::AUTO);
//! let bytes = png(&svg, 2.0)?;
//! assert!(bytes.starts_with(b"\x89PNG"));
//! # Ok::<(), resnet_pictures::PngError>(())
//! ```
//!
//! Colours are safe for the colour-blind (after Okabe and Ito), and nothing is conveyed by colour
//! alone. Text is laid out with the metrics of Noto Sans, which [`png()`] renders; an SVG falls
//! back to other fonts of the reader's machine.
//!
//! [SVG]: https://www.w3.org/TR/SVG11/
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

mod bars;
mod cam;
mod colour;
mod confusion;
mod curves;
mod filters;
mod grid;
mod labelled;
mod picture;
mod raster;
pub mod report;
mod svg;
mod text;
mod theme;

pub use bars::{Bar, bars};
pub use cam::{HeatMap, cam, photo_cam};
pub use confusion::confusion;
pub use curves::{Axis, Curve, Panel, Stroke, curves, panels};
pub use filters::filters;
pub use grid::{Cell, grid};
pub use labelled::labelled;
pub use picture::Picture;
pub use raster::{PngError, png};
pub use svg::Title;
pub use theme::Theme;
