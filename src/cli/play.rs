//! `sac play`.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    num::NonZero,
    path::Path,
    process::ExitCode,
};

use sac_envs::{
    Env,
    render::{Frame, FrameSize, GifWriter, contact_sheet},
};

use super::{args::PlayArgs, eval, messages::say, output::print};
use crate::{
    error::{Error, Result},
    policy::Policy,
    registry::Registry,
    stop::{INTERRUPTED, Stop},
};

const SIZE: FrameSize = FrameSize {
    width: 400,
    height: 400,
};
const FRAMES_PER_S: f64 = 25.0;
/// Pictures on a contact sheet, in rows of `COLUMNS`.
const SHEET_FRAMES: usize = 12;
const COLUMNS: NonZero<u32> = NonZero::new(4).expect("four is not zero");

pub fn run(args: &PlayArgs, registry: &Registry) -> Result<ExitCode> {
    let as_sheet = match args.out.extension().and_then(|extension| extension.to_str()) {
        Some("gif") => false,
        Some("png") => true,
        _ => {
            let problem = "expected a name that ends in .gif (film) or .png (contact sheet)";
            return Err(Error::Usage(format!("--out {}: {problem}", args.out.display())));
        }
    };
    let mut policy = eval::load(
        &args.run,
        eval::which(args.checkpoint.as_deref())?,
        &args.device,
        registry,
    )?;
    let mut env = policy.env()?;
    let out = Out::create(&args.out, as_sheet).map_err(Error::io(&args.out))?;
    let outcome = film(args, env.as_mut(), &mut policy, out, &Stop::on_signals()?);
    if !matches!(outcome, Ok(Some(_))) {
        // If half a film cannot be removed, the first error is still the one to report.
        let _ = std::fs::remove_file(&args.out);
    }
    let Some(returns) = outcome? else {
        say(&format!("interrupted; {} was not written", args.out.display()));
        return Ok(ExitCode::from(INTERRUPTED));
    };
    let listed: Vec<String> = returns.iter().map(|value| format!("{value:.2}")).collect();
    print(&format!(
        "{}, policy `{}`, {} episode(s), return {}\n{}\n",
        policy.config().env.id,
        policy.saved_as(),
        args.episodes,
        listed.join(", "),
        args.out.display()
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// Plays the episodes into `out` and returns their returns; `None` if it was stopped.
fn film(
    args: &PlayArgs,
    env: &mut dyn Env,
    policy: &mut Policy,
    mut out: Out,
    stop: &Stop,
) -> Result<Option<Vec<f64>>> {
    let mut obs = vec![0.0; env.observation_space().len()];
    let mut action = vec![0.0; env.action_space().len()];
    let mut returns = Vec::new();
    for episode in 0..args.episodes {
        // Only the first reset is seeded, as users of Gymnasium do it.
        env.reset((episode == 0).then_some(args.seed), &mut obs)?;
        let (mut episode_return, mut steps, mut is_over) = (0.0, 0u64, false);
        out.push(picture(env, episode_return, steps)?)
            .map_err(Error::io(&args.out))?;
        while !is_over {
            if stop.is_requested() {
                return Ok(None);
            }
            policy.act_into(&obs, &mut action)?;
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
    Ok(Some(returns))
}

fn picture(env: &dyn Env, episode_return: f64, steps: u64) -> Result<Frame> {
    let mut frame = env.render(SIZE)?;
    frame.caption(&format!("return {episode_return:.1}  step {steps}"));
    Ok(frame)
}

/// Where pictures go. Only a few are held in memory.
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
                // Every other one is dropped once there are twice as many as the sheet shows.
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
