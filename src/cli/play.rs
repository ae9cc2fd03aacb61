//! `sac play`.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, BufWriter, Write},
    num::NonZero,
    path::{Path, PathBuf},
};

use sac_cli::{
    args::PlayArgs,
    exit_code::{DONE, INTERRUPTED},
    messages::say,
};
use sac_envs::{
    Env,
    render::{Frame, FrameSize, GifWriter, Mp4Writer, contact_sheet},
};

use super::{eval, input::env_options, output::print};
use crate::{
    error::{Error, Result},
    policy::Policy,
    registry::Registry,
    stop::Stop,
};

const SIZE: FrameSize = FrameSize {
    width: 400,
    height: 400,
};
const FRAMES_PER_S: f64 = 25.0;
/// Pictures on a contact sheet, in rows of `COLUMNS`.
const SHEET_FRAMES: usize = 12;
const COLUMNS: NonZero<u32> = NonZero::new(4).expect("four is not zero");

/// What `--out` names.
#[derive(Clone, Copy)]
enum Format {
    Gif,
    Mp4,
    Sheet,
}

impl Format {
    /// By the ending of the name.
    fn of(path: &Path) -> Result<Format> {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("gif") => Ok(Format::Gif),
            Some("mp4") => Ok(Format::Mp4),
            Some("png") => Ok(Format::Sheet),
            _ => Err(Error::Usage(format!(
                "--out {}: expected a name that ends in .gif or .mp4 (film) or .png (contact sheet)",
                path.display()
            ))),
        }
    }
}

pub fn run(args: &PlayArgs, registry: &Registry) -> Result<u8> {
    let format = Format::of(&args.out)?;
    let options = env_options(&args.sets)?;
    let mut policy = eval::load(
        &args.run,
        eval::which(args.checkpoint.as_deref())?,
        &args.device,
        &options,
        registry,
    )?;
    let mut env = policy.env_with(&options)?;
    // The file gets its name when it is whole.
    let unfinished = unfinished(&args.out);
    let stop = Stop::on_signals()?;
    let out = Out::create(&unfinished, format).map_err(|error| match (format, error.kind()) {
        (Format::Mp4, io::ErrorKind::NotFound) => Error::NoFfmpeg(args.out.clone()),
        _ => Error::io(&args.out)(error),
    })?;
    let filmed = film(args, env.as_mut(), &mut policy, out, &stop).and_then(|returns| {
        if returns.is_some() {
            fs::rename(&unfinished, &args.out).map_err(Error::io(&args.out))?;
        }
        Ok(returns)
    });
    if !matches!(filmed, Ok(Some(_))) {
        // If half a film cannot be removed, the first error is still the one to report.
        let _ = fs::remove_file(&unfinished);
    }
    let Some(returns) = filmed? else {
        say(&format!("interrupted; {} was not written", args.out.display()));
        return Ok(INTERRUPTED);
    };
    let listed: Vec<String> = returns.iter().map(|value| format!("{value:.2}")).collect();
    let cut = args.max_steps.map(|most| format!(" of at most {most} env step(s)"));
    print(&format!(
        "{}, policy `{}`, {} episode(s){}, return {}\n{}\n",
        policy.config().env.id,
        policy.saved_as(),
        args.episodes,
        cut.unwrap_or_default(),
        listed.join(", "),
        args.out.display()
    ))?;
    Ok(DONE)
}

/// Where a file is written before it is whole: beside it, hidden.
fn unfinished(out: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(out.file_name().unwrap_or_default());
    name.push(".part");
    out.with_file_name(name)
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
            is_over = outcome.status().is_over() || args.max_steps == Some(steps);
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
    Gif(GifWriter<BufWriter<File>>),
    Mp4(Mp4Writer),
    Sheet {
        kept: Vec<Frame>,
        stride: usize,
        seen: usize,
        last: Option<Frame>,
        file: BufWriter<File>,
    },
}

impl Out {
    /// [`io::ErrorKind::NotFound`] for a film that needs ffmpeg says that there is none.
    fn create(path: &Path, format: Format) -> io::Result<Self> {
        let file = || File::create(path).map(BufWriter::new);
        Ok(match format {
            Format::Gif => Out::Gif(GifWriter::new(file()?, SIZE, FRAMES_PER_S)?),
            Format::Mp4 => Out::Mp4(Mp4Writer::new(path, SIZE, FRAMES_PER_S)?),
            Format::Sheet => Out::Sheet {
                kept: Vec::new(),
                stride: 1,
                seen: 0,
                last: None,
                file: file()?,
            },
        })
    }

    fn push(&mut self, frame: Frame) -> io::Result<()> {
        match self {
            Out::Gif(film) => film.push(&frame),
            Out::Mp4(film) => film.push(&frame),
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
            Out::Gif(film) => film.finish()?.flush(),
            Out::Mp4(film) => film.finish(),
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
