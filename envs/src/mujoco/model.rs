//! Compiled models, shared by all simulations of one file.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::SystemTime;

use mujoco_rs::error::MjModelError;
use mujoco_rs::wrappers::mj_model::MjModel;

use super::{assets, engine};

/// A file as it was when it was compiled.
#[derive(PartialEq, Eq, Hash)]
struct Version {
    path: PathBuf,
    modified: Option<SystemTime>,
    bytes: u64,
}

/// Models in use. A model that nobody uses any more is dropped, and compiled anew when it is asked for again.
static MODELS: Mutex<Option<HashMap<Version, Weak<MjModel>>>> = Mutex::new(None);

/// The compiled model of `xml_file`, which is named by Gymnasium's rule (see [`assets::locate`]).
///
/// # Errors
/// When there is no such file, or MuJoCo's own message with the path.
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
    let model = engine::compile(|| MjModel::from_xml(path)).map_err(|error| match error {
        MjModelError::LoadFailed(message) => message.split_whitespace().collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    })?;
    Ok(Arc::new(model))
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
