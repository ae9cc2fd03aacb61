//! Pictures of all tasks on one sheet per family, and a film of one task of some.
//!
//! `cargo run --release -p sac-envs --features mujoco --example gallery -- docs/pictures`

use std::error::Error;
use std::fs::File;
use std::num::NonZero;
use std::path::Path;

use sac_envs::render::{Colour, Frame, FrameSize, GifWriter, contact_sheet};
use sac_envs::{EntityReach, EntityTag, Env, EnvEntry, EpisodeStats, NumpyRng, Registry};

const SIZE: FrameSize = FrameSize {
    width: 300,
    height: 200,
};
/// Step of the episode at which the picture is taken.
const STEPS: usize = 60;

/// Number of frames of a film.
const FRAMES: usize = 60;
/// Env steps per frame of a film.
const STRIDE: usize = 2;
const FRAMES_PER_S: f64 = 25.0;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).ok_or("expected a folder")?;
    let folder = Path::new(&folder);
    let registry = Registry::builtin();
    for (family, columns, star) in [
        ("classic", 3, Some("CartPoleSwingUp-v0")),
        ("entity", 2, Some("EntityTag-v0")),
        ("mujoco", 3, Some("Ant-v5")),
        ("fetch", 2, None),
    ] {
        let is_shown = |entry: &&EnvEntry| entry.family == family && !entry.id.contains("Dense");
        let entries = registry.entries().iter().filter(is_shown);
        let frames = entries.map(picture).collect::<Result<Vec<_>, _>>()?;
        if frames.is_empty() {
            eprintln!("no {family} tasks here: build with the feature `mujoco`");
            continue;
        }
        let sheet = contact_sheet(&frames, NonZero::new(columns).ok_or("no columns")?);
        sheet.write_png(File::create(folder.join(format!("{family}.png")))?)?;
        if let Some(star) = star {
            film(&*registry.get(star)?, &folder.join(format!("{family}.gif")))?;
        }
    }
    Ok(())
}

/// An episode with the actions of the oracle, or random ones for tasks without an oracle.
struct Episode {
    env: EpisodeStats<Box<dyn Env>>,
    id: String,
    obs: Vec<f32>,
    action: Vec<f32>,
    rng: NumpyRng,
}

impl Episode {
    fn of(entry: &EnvEntry) -> Result<Self, Box<dyn Error>> {
        let mut env = EpisodeStats::new(entry.make(&toml::Table::new())?);
        let mut obs = vec![0.0; env.observation_space().len()];
        env.reset(Some(1), &mut obs)?;
        Ok(Episode {
            action: vec![0.0; env.action_space().len()],
            obs,
            env,
            id: entry.id.clone(),
            rng: NumpyRng::new(0),
        })
    }

    /// Steps, and returns whether the episode is over.
    fn step(&mut self) -> Result<bool, Box<dyn Error>> {
        match self.id.as_str() {
            "EntityReach-v0" => EntityReach::default().oracle(&self.obs, &mut self.action),
            "EntityTag-v0" => EntityTag::default().oracle(&self.obs, &mut self.action),
            _ => self.env.action_space().sample(&mut self.rng, &mut self.action),
        }
        Ok(self.env.step(&self.action, &mut self.obs)?.status().is_over())
    }

    fn frame(&self) -> Result<Frame, Box<dyn Error>> {
        let mut frame = self.env.render(SIZE)?;
        let (score, steps) = (self.env.episode_return(), self.env.length());
        frame.caption(&format!("return {score:.1}  step {steps}"));
        frame.write_text(&self.id, 4, SIZE.height - 12, 1, Colour::rgb(110, 110, 110));
        Ok(frame)
    }
}

/// A picture from the middle of an episode.
fn picture(entry: &EnvEntry) -> Result<Frame, Box<dyn Error>> {
    let mut episode = Episode::of(entry)?;
    for _ in 0..STEPS {
        if episode.step()? {
            break;
        }
    }
    episode.frame()
}

/// Writes a film of the beginning of an episode.
fn film(entry: &EnvEntry, to: &Path) -> Result<(), Box<dyn Error>> {
    let mut episode = Episode::of(entry)?;
    let mut gif = GifWriter::new(File::create(to)?, SIZE, FRAMES_PER_S)?;
    for _ in 0..FRAMES {
        gif.push(&episode.frame()?)?;
        for _ in 0..STRIDE {
            if episode.step()? {
                return Ok(gif.finish().map(|_| ())?);
            }
        }
    }
    gif.finish()?;
    Ok(())
}
