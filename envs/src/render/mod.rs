//! Pictures without a display. A task describes a [`Scene`], a rasteriser draws it as a [`Frame`], and frames are
//! written to files.
//!
//! ```
//! use sac_envs::{Env, Registry, render::FrameSize};
//!
//! let mut env = Registry::builtin().make("CartPole-v1", &toml::Table::new())?;
//! let mut obs = vec![0.0; env.observation_space().len()];
//! env.reset(Some(0), &mut obs)?;
//! let mut frame = env.render(FrameSize { width: 600, height: 400 })?;
//! frame.caption("return 0.0  step 0");
//! let mut png = Vec::new();
//! frame.write_png(&mut png)?;
//! assert_eq!(&png[1..4], b"PNG");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The same state gives the same bytes. Nothing depends on time, installed fonts or a graphics driver.

mod caption;
mod film;
mod frame;
mod raster;
mod scene;

pub use film::{GifWriter, Mp4Writer, contact_sheet};
pub use frame::{Frame, FrameSize};
pub(crate) use scene::turned;
pub use scene::{Colour, Scene, Shape, View};
