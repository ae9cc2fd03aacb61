//! `sac export`.

use std::path::{Path, PathBuf};

use sac_cli::args::{ExportArgs, Format};
use sac_policy::Export;
use serde::Serialize;

use super::{
    eval,
    output::{print, print_json},
};
use crate::{
    error::{Error, Result},
    registry::Registry,
    run::write,
};

#[derive(Serialize)]
struct Written {
    env: String,
    algo: String,
    checkpoint: String,
    env_steps: u64,
    format: Format,
    files: Vec<PathBuf>,
    bytes: u64,
    recorded: usize,
    /// Largest difference between the recorded actions and those of the export, relative to the range of actions.
    largest_error: f32,
}

pub fn run(args: &ExportArgs, registry: &Registry) -> Result<()> {
    let which = eval::which(args.checkpoint.as_deref())?;
    let paths = paths(args.format, &args.out)?;
    if let Some(taken) = paths.iter().find(|path| path.symlink_metadata().is_ok()) {
        return Err(Error::OutputExists(taken.clone()));
    }
    let mut policy = eval::load(&args.run, which, "cpu", &toml::Table::new(), registry)?;
    let export = policy.export(args.stochastic)?;
    // The proof: what is written acts as the agent did.
    let largest_error = sac_policy::Policy::new(export.clone()).self_test()?;
    let files: Vec<(PathBuf, Vec<u8>)> = paths
        .into_iter()
        .zip(contents(args.format, &export, &args.out)?)
        .collect();
    for (path, bytes) in &files {
        write(path, bytes)?;
    }
    let written = Written {
        env: policy.config().env.id.clone(),
        algo: policy.config().algo.name().to_string(),
        checkpoint: policy.saved_as().to_string(),
        env_steps: policy.env_steps().0,
        format: args.format,
        bytes: files.iter().map(|(_, bytes)| bytes.len() as u64).sum(),
        files: files.into_iter().map(|(path, _)| path).collect(),
        recorded: export.self_test().actions.len() / export.facts().action_space.len(),
        largest_error,
    };
    if args.json {
        return print_json(&written);
    }
    let names: Vec<String> = written.files.iter().map(|path| path.display().to_string()).collect();
    print(&format!(
        "{}: {}, policy `{}` of env step {}, {} bytes\n\
         {} recorded actions differ by at most {:.1e} of the range of actions\n",
        names.join(", "),
        written.env,
        written.checkpoint,
        written.env_steps,
        written.bytes,
        written.recorded,
        written.largest_error
    ))
}

/// The files that are written. For C they are a header and a source of the same name.
fn paths(format: Format, out: &Path) -> Result<Vec<PathBuf>> {
    let extension = out.extension().and_then(|extension| extension.to_str());
    match format {
        Format::Safetensors | Format::Onnx => Ok(vec![out.to_path_buf()]),
        Format::C if matches!(extension, None | Some("c" | "h")) && out.file_stem().is_some() => {
            Ok(["h", "c"].map(|extension| out.with_extension(extension)).to_vec())
        }
        Format::C => Err(Error::Usage(format!(
            "--out {}: expected a name with the extension .c, .h or none, for a pair of files",
            out.display()
        ))),
    }
}

/// The contents of the files of [`paths`].
fn contents(format: Format, export: &Export, out: &Path) -> Result<Vec<Vec<u8>>> {
    match format {
        Format::Safetensors => Ok(vec![export.to_bytes()?]),
        Format::Onnx => Ok(vec![sac_policy::onnx_model(export)]),
        Format::C => {
            let name = out.file_stem().unwrap_or_default().to_string_lossy();
            let files = sac_policy::c_files(export, &name)?;
            Ok(vec![files.header.into_bytes(), files.source.into_bytes()])
        }
    }
}
