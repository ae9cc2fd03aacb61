//! Compiled models, shared by all simulations of the same file.

use std::collections::HashMap;
use std::ffi::{CStr, CString, c_int};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::SystemTime;

use mujoco_rs::error::MjModelError;
use mujoco_rs::mujoco_c::{mj_deleteModel, mj_loadXML};
use mujoco_rs::wrappers::mj_model::{MjModel, MjtEq};

use super::assets::ModelFiles;
use super::engine;

/// What a model's welds hold in place. A weld keeps two bodies at a fixed pose relative to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Welds {
    /// The pose that the bodies have in the model file.
    AsCompiled,
    /// The same position and orientation, as Gymnasium-Robotics sets it for a robot that follows a mocap body.
    Coincident,
}

/// Identity of a file at the time when it was compiled, and what was changed afterwards.
#[derive(PartialEq, Eq, Hash)]
struct Version {
    welds: Welds,
    path: PathBuf,
    modified: Option<SystemTime>,
    bytes: u64,
}

/// A model while a simulation uses it, and its fingerprint.
struct Compiled {
    model: Weak<MjModel>,
    fingerprint: u64,
}

/// The models in use. A model is dropped with its last simulation and compiled again when it is next needed.
static MODELS: Mutex<Option<HashMap<Version, Compiled>>> = Mutex::new(None);

/// The compiled model of `xml_file`, a name for [`ModelFiles::locate`], and its fingerprint: two models have the same only
/// if all their numbers are equal, those of included files and meshes too.
///
/// # Errors
/// When the file does not exist, or MuJoCo's message with the path.
pub(super) fn load(files: ModelFiles, xml_file: &str, welds: Welds) -> Result<(Arc<MjModel>, u64), String> {
    let path = files.locate(xml_file)?;
    let version = version(&path, welds).map_err(|e| format!("cannot read {}: {e}", path.display()))?;
    let mut models = MODELS.lock().unwrap_or_else(PoisonError::into_inner);
    let models = models.get_or_insert_default();
    if let Some(compiled) = models.get(&version)
        && let Some(model) = compiled.model.upgrade()
    {
        return Ok((model, compiled.fingerprint));
    }
    let mut model =
        compile(&version.path).map_err(|problem| format!("MuJoCo cannot load {}: {problem}", path.display()))?;
    if welds == Welds::Coincident {
        centre_welds(&mut model);
    }
    let model = Arc::new(model);
    let fingerprint = fingerprint(&model)?;
    models.retain(|_, compiled| compiled.model.strong_count() > 0);
    let compiled = Compiled {
        model: Arc::downgrade(&model),
        fingerprint,
    };
    models.insert(version, compiled);
    Ok((model, fingerprint))
}

/// FNV-1a, 64 bits, of the model as MuJoCo saves it.
fn fingerprint(model: &MjModel) -> Result<u64, String> {
    let mut bytes = vec![0; model.size()];
    model.save_to_buffer(&mut bytes).map_err(|error| error.to_string())?;
    let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    Ok(bytes.iter().fold(0xcbf2_9ce4_8422_2325, mix))
}

/// Sets the anchor and the relative position of every weld to zero. Of the relative orientation, only the first number
/// is set to 1, as in Gymnasium-Robotics, whose array dates from a version of MuJoCo without anchors.
fn centre_welds(model: &mut MjModel) {
    const ZERO_AND_ONE: [f64; 7] = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0];
    let is_weld: Vec<bool> = model.eq_type().iter().map(|kind| *kind == MjtEq::mjEQ_WELD).collect();
    // SAFETY: every number of a weld's data may be changed at any time.
    let data = unsafe { model.eq_data_mut() };
    for (data, _) in data.iter_mut().zip(is_weld).filter(|(_, is_weld)| *is_weld) {
        data[..ZERO_AND_ONE.len()].copy_from_slice(&ZERO_AND_ONE);
    }
}

fn version(path: &Path, welds: Welds) -> std::io::Result<Version> {
    let facts = path.metadata()?;
    Ok(Version {
        welds,
        path: path.canonicalize()?,
        modified: facts.modified().ok(),
        bytes: facts.len(),
    })
}

fn compile(path: &Path) -> Result<MjModel, String> {
    engine::compile(|| match MjModel::from_xml(path) {
        Ok(model) => Ok(model),
        // The binding truncates the message to 100 characters, and the line number is often at its end.
        Err(MjModelError::LoadFailed(short)) => Err(one_line(&whole_message(path).unwrap_or(short))),
        Err(other) => Err(other.to_string()),
    })
}

/// MuJoCo's complete message for a model that it cannot load, from a second attempt.
fn whole_message(path: &Path) -> Option<String> {
    let path = CString::new(path.to_str()?).ok()?;
    let mut message = [0u8; 1000];
    // SAFETY: the path ends with a zero, the buffer has the given length, and a model, should this attempt succeed, has
    // no other owner.
    unsafe {
        let model = mj_loadXML(
            path.as_ptr(),
            std::ptr::null(),
            message.as_mut_ptr().cast(),
            message.len() as c_int,
        );
        if !model.is_null() {
            mj_deleteModel(model);
        }
    }
    let text = CStr::from_bytes_until_nul(&message)
        .ok()?
        .to_string_lossy()
        .into_owned();
    (!text.is_empty()).then_some(text)
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gymnasiums(xml_file: &str) -> Result<(Arc<MjModel>, u64), String> {
        load(ModelFiles::Gymnasium, xml_file, Welds::AsCompiled)
    }

    #[test]
    fn a_model_in_use_is_compiled_once() {
        let (first, _) = gymnasiums("half_cheetah.xml").expect("set-up has run");
        let (second, _) = gymnasiums("half_cheetah.xml").expect("set-up has run");
        assert!(Arc::ptr_eq(&first, &second));
    }

    #[test]
    fn a_model_has_its_fingerprint_wherever_it_lies_and_another_one_has_another() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let original = ModelFiles::Gymnasium.locate("hopper.xml").expect("set-up has run");
        let text = std::fs::read_to_string(original).expect("readable");
        let copied = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("writable");
            gymnasiums(path.to_str().expect("UTF-8")).expect("a model").1
        };
        let (_, fingerprint) = gymnasiums("hopper.xml").expect("set-up has run");
        assert_eq!(copied("same.xml", &text), fingerprint);
        let heavier = text.replacen("damping=\"1\"", "damping=\"1.01\"", 1);
        assert!(heavier != text, "the joints have this damping");
        assert!(copied("other.xml", &heavier) != fingerprint);
    }
}
