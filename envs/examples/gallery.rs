//! One picture of every task that draws itself, a sheet for each family.
//!
//! `cargo run --release -p sac-envs --example gallery -- docs/pictures`

use std::error::Error;
use std::fs::File;
use std::num::NonZero;
use std::path::Path;

use sac_envs::render::{Colour, Frame, FrameSize, contact_sheet};
use sac_envs::{EntityReach, EntityTag, Env, EnvEntry, EpisodeStats, NumpyRng, Registry};

const SIZE: FrameSize = FrameSize {
    width: 300,
    height: 200,
};
/// Into the episode.
const STEPS: usize = 60;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).ok_or("expected a folder")?;
    let registry = Registry::builtin();
    for (family, columns) in [("classic", 3), ("entity", 2)] {
        let entries = registry.entries().iter().filter(|entry| entry.family == family);
        let frames = entries.map(picture).collect::<Result<Vec<_>, _>>()?;
        let sheet = contact_sheet(&frames, NonZero::new(columns).ok_or("no columns")?);
        sheet.write_png(File::create(Path::new(&folder).join(format!("{family}.png")))?)?;
    }
    Ok(())
}

/// In the middle of an episode of random actions, or of the oracle's where there is one.
fn picture(entry: &EnvEntry) -> Result<Frame, Box<dyn Error>> {
    let mut env = EpisodeStats::new(entry.make(&toml::Table::new())?);
    let (mut obs, mut rng) = (vec![0.0; env.observation_space().len()], NumpyRng::new(0));
    let mut action = vec![0.0; env.action_space().len()];
    env.reset(Some(1), &mut obs)?;
    for _ in 0..STEPS {
        match entry.id.as_str() {
            "EntityReach-v0" => EntityReach::default().oracle(&obs, &mut action),
            "EntityTag-v0" => EntityTag::default().oracle(&obs, &mut action),
            _ => env.action_space().sample(&mut rng, &mut action),
        }
        if env.step(&action, &mut obs)?.status().is_over() {
            break;
        }
    }
    let mut frame = env.render(SIZE)?;
    frame.caption(&format!("return {:.1}  step {}", env.episode_return(), env.length()));
    frame.write_text(&entry.id, 4, SIZE.height - 12, 1, Colour::rgb(110, 110, 110));
    Ok(frame)
}
