//! Draws an episode of random actions: an animation and a sheet of twelve pictures.
//!
//! `cargo run --release -p sac-envs --example pictures -- CartPole-v1 /tmp/cartpole`

use std::error::Error;
use std::fs::File;
use std::num::NonZero;

use sac_envs::render::{FrameSize, GifWriter, contact_sheet};
use sac_envs::{Env, EpisodeStats, NumpyRng, Registry};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [id, path] = &arguments[..] else {
        return Err("expected an id and a path without ending".into());
    };
    let mut env = EpisodeStats::new(Registry::builtin().make(id, &toml::Table::new())?);
    let mut obs = vec![0.0; env.observation_space().len()];
    let mut action = vec![0.0; env.action_space().len()];
    let mut rng = NumpyRng::new(0);
    let size = FrameSize {
        width: 300,
        height: 200,
    };
    env.reset(Some(0), &mut obs)?;
    let mut animation = GifWriter::new(File::create(format!("{path}.gif"))?, size, 30.0)?;
    let mut frames = Vec::new();
    loop {
        let mut frame = env.render(size)?;
        frame.caption(&format!("return {:.1}  step {}", env.episode_return(), env.length()));
        animation.push(&frame)?;
        frames.push(frame);
        if env.status().is_over() {
            break;
        }
        env.action_space().sample(&mut rng, &mut action);
        env.step(&action, &mut obs)?;
    }
    animation.finish()?;
    let spread: Vec<_> = (0..12).map(|i| frames[i * (frames.len() - 1) / 11].clone()).collect();
    let columns = NonZero::new(4).ok_or("four columns")?;
    contact_sheet(&spread, columns).write_png(File::create(format!("{path}.png"))?)?;
    Ok(())
}
