//! `sac play`.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    num::NonZero,
    path::Path,
};

use sac::{
    Error, Result,
    agents::{ActMode, Agent, checkpoint::Checkpoint, noise::Stream},
    assemble,
    envs::{
        Env, Registry,
        render::{Frame, FrameSize, GifWriter, contact_sheet},
    },
    run::RunFolder,
};

use super::{eval, print};
use crate::cli::PlayArgs;

const SIZE: FrameSize = FrameSize {
    width: 400,
    height: 400,
};
const FRAMES_PER_S: f64 = 25.0;
/// A contact sheet shows so many pictures, in rows of `COLUMNS`.
const SHEET_FRAMES: usize = 12;
const COLUMNS: NonZero<u32> = NonZero::new(4).expect("four is not zero");

pub fn run(args: &PlayArgs) -> Result<()> {
    let as_sheet = match args.out.extension().and_then(|extension| extension.to_str()) {
        Some("gif") => false,
        Some("png") => true,
        _ => {
            let problem = "expected a name that ends in .gif (film) or .png (contact sheet)";
            return Err(Error::Usage(format!("--out {}: {problem}", args.out.display())));
        }
    };
    let registry = Registry::builtin();
    let folder = RunFolder::open(&args.run)?;
    let config = folder.config(&registry)?;
    assemble::prepare_process(&config);
    let spaces = assemble::envs(&config, &registry, 1, 1)?;
    let mut agent = assemble::agent(&config, spaces.as_ref())?;
    let (saved, which) = eval::choose(&folder, args.checkpoint.as_deref())?;
    let checkpoint = Checkpoint::read(&saved, &["policy"])?;
    agent
        .load_policy(&checkpoint)
        .map_err(|error| checkpoint.locate(error))?;

    let mut env = registry.make_normalised(&config.env.id, &config.env.options)?;
    let out = Out::create(&args.out, as_sheet).map_err(Error::io(&args.out))?;
    let outcome = film(args, env.as_mut(), agent.as_mut(), out);
    if outcome.is_err() {
        // Half a film is of no use.
        let _ = std::fs::remove_file(&args.out);
    }
    let listed: Vec<String> = outcome?.iter().map(|value| format!("{value:.2}")).collect();
    print(&format!(
        "{}, policy `{which}`, {} episode(s), return {}\n{}\n",
        config.env.id,
        args.episodes,
        listed.join(", "),
        args.out.display()
    ))
}

/// Plays the episodes into `out` and returns their returns.
fn film(args: &PlayArgs, env: &mut dyn Env, agent: &mut dyn Agent, mut out: Out) -> Result<Vec<f64>> {
    let mut obs = vec![0.0; env.observation_space().len()];
    let mut action = vec![0.0; env.action_space().len()];
    let mut noise = Stream::derive(args.seed, "play", 0);
    let mut returns = Vec::new();
    for episode in 0..args.episodes {
        // Later episodes go on in the stream of the first, as Gymnasium's users reset.
        env.reset((episode == 0).then_some(args.seed), &mut obs)?;
        let (mut episode_return, mut steps, mut is_over) = (0.0, 0u64, false);
        out.push(picture(env, episode_return, steps)?)
            .map_err(Error::io(&args.out))?;
        while !is_over {
            agent.act(&obs, ActMode::Evaluate, &mut noise, &mut action);
            let outcome = env.step(&action, &mut obs)?;
            episode_return += outcome.reward;
            steps += 1;
            is_over = outcome.status().is_over();
            if is_over || steps.is_multiple_of(args.every) {
                out.push(picture(env, episode_return, steps)?)
                    .map_err(Error::io(&args.out))?;
            }
        }
        returns.push(episode_return);
    }
    out.finish().map_err(Error::io(&args.out))?;
    Ok(returns)
}

fn picture(env: &dyn Env, episode_return: f64, steps: u64) -> Result<Frame> {
    let mut frame = env.render(SIZE)?;
    frame.caption(&format!("return {episode_return:.1}  step {steps}"));
    Ok(frame)
}

/// Where pictures go. Neither keeps more than a few of them.
enum Out {
    Film(GifWriter<BufWriter<File>>),
    Sheet {
        kept: Vec<Frame>,
        stride: usize,
        seen: usize,
        last: Option<Frame>,
        file: BufWriter<File>,
    },
}

impl Out {
    fn create(path: &Path, as_sheet: bool) -> io::Result<Self> {
        let file = BufWriter::new(File::create(path)?);
        Ok(if as_sheet {
            Out::Sheet {
                kept: Vec::new(),
                stride: 1,
                seen: 0,
                last: None,
                file,
            }
        } else {
            Out::Film(GifWriter::new(file, SIZE, FRAMES_PER_S)?)
        })
    }

    fn push(&mut self, frame: Frame) -> io::Result<()> {
        match self {
            Out::Film(film) => film.push(&frame),
            Out::Sheet {
                kept,
                stride,
                seen,
                last,
                ..
            } => {
                if seen.is_multiple_of(*stride) {
                    kept.push(frame.clone());
                }
                *seen += 1;
                *last = Some(frame);
                // Every other one goes once there are twice as many as the sheet shows.
                if kept.len() == 2 * SHEET_FRAMES {
                    let mut index = 0;
                    kept.retain(|_| {
                        index += 1;
                        index % 2 == 1
                    });
                    *stride *= 2;
                }
                Ok(())
            }
        }
    }

    fn finish(self) -> io::Result<()> {
        match self {
            Out::Film(film) => film.finish()?.flush(),
            Out::Sheet {
                mut kept,
                last,
                mut file,
                ..
            } => {
                kept.truncate(kept.len().min(2 * SHEET_FRAMES) - 1);
                kept.extend(last);
                let end = kept.len() - 1;
                let shown = SHEET_FRAMES.min(kept.len());
                let chosen: Vec<Frame> = (0..shown)
                    .map(|index| kept[index * end / (shown - 1).max(1)].clone())
                    .collect();
                contact_sheet(&chosen, COLUMNS).write_png(&mut file)?;
                file.flush()
            }
        }
    }
}
