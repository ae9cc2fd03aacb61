//! Compiled models, shared by all simulations of the same file.

use std::collections::HashMap;
use std::ffi::{CStr, CString, c_int};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::SystemTime;

use mujoco_rs::error::MjModelError;
use mujoco_rs::mujoco_c::{mj_deleteModel, mj_loadXML};
use mujoco_rs::wrappers::mj_model::MjModel;

use super::{assets, engine};

/// Identity of a file at the time when it was compiled.
#[derive(PartialEq, Eq, Hash)]
struct Version {
    path: PathBuf,
    modified: Option<SystemTime>,
    bytes: u64,
}

/// The models in use. A model is dropped with its last simulation and compiled again when it is next needed.
static MODELS: Mutex<Option<HashMap<Version, Weak<MjModel>>>> = Mutex::new(None);

/// The compiled model of `xml_file`, a name for [`assets::locate`].
///
/// # Errors
/// When the file does not exist, or MuJoCo's message with the path.
pub(super) fn load(xml_file: &str) -> Result<Arc<MjModel>, String> {
    let path = assets::locate(xml_file)?;
    let version = version(&path).map_err(|e| format!("cannot read {}: {e}", path.display()))?;
    let mut models = MODELS.lock().unwrap_or_else(PoisonError::into_inner);
    let models = models.get_or_insert_default();
    if let Some(model) = models.get(&version).and_then(Weak::upgrade) {
        return Ok(model);
    }
    let model =
        compile(&version.path).map_err(|problem| format!("MuJoCo cannot load {}: {problem}", path.display()))?;
    models.retain(|_, model| model.strong_count() > 0);
    models.insert(version, Arc::downgrade(&model));
    Ok(model)
}

fn version(path: &Path) -> std::io::Result<Version> {
    let facts = path.metadata()?;
    Ok(Version {
        path: path.canonicalize()?,
        modified: facts.modified().ok(),
        bytes: facts.len(),
    })
}

fn compile(path: &Path) -> Result<Arc<MjModel>, String> {
    engine::compile(|| match MjModel::from_xml(path) {
        Ok(model) => Ok(Arc::new(model)),
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

    #[test]
    fn a_model_in_use_is_compiled_once() {
        let first = load("half_cheetah.xml").expect("set-up has run");
        let second = load("half_cheetah.xml").expect("set-up has run");
        assert!(Arc::ptr_eq(&first, &second));
    }
}
