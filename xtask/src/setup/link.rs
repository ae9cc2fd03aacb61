//! Links in `.native/`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::{Context, Result};
use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::cache::remove_any;
use crate::pins::Part;
use crate::workspace::Workspace;

/// Whether `.native/<part>` links into `home`.
pub fn is_right(workspace: &Workspace, part: &Part, home: &Path) -> bool {
    fs::read_link(workspace.native().join(&part.name)).is_ok_and(|target| target == home.join(&part.name))
}

/// Makes `path` a link to `target`. At any moment `path` is either the old or the new link.
///
/// It replaces an older link, and also a plain file or folder, which is then removed.
pub fn point(path: &Path, target: &Path) -> Result<()> {
    let folder = path.parent().context("a link needs a folder")?;
    let name = path
        .file_name()
        .context("a link needs a name")?
        .to_string_lossy()
        .into_owned();
    // `.native` itself may be a dangling link or a file.
    if !folder.is_dir() {
        remove_any(folder)?;
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    let fresh = folder.join(format!(".{name}.new-{}", std::process::id()));
    remove_any(&fresh)?;
    symlink(target, &fresh).with_context(|| format!("cannot create the link {}", fresh.display()))?;
    let is_folder = path.symlink_metadata().is_ok_and(|old| old.is_dir());
    if is_folder {
        say!(
            "{} is a plain folder; it is replaced by a link to {}",
            path.display(),
            target.display()
        );
        // A link cannot be renamed over a folder, so the two are exchanged. On a file system without that operation the
        // folder is renamed first.
        if renameat_with(CWD, &fresh, CWD, path, RenameFlags::EXCHANGE).is_ok() {
            return remove_any(&fresh);
        }
        let aside = folder.join(format!(".{name}.old-{}", std::process::id()));
        remove_any(&aside)?;
        fs::rename(path, &aside).with_context(|| format!("cannot move {} away", path.display()))?;
        fs::rename(&fresh, path).with_context(|| format!("cannot put the link {} in place", path.display()))?;
        return remove_any(&aside);
    }
    fs::rename(&fresh, path).with_context(|| format!("cannot put the link {} in place", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_replaces_a_link_a_file_and_a_folder() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let target = folder.path().join("target");
        fs::create_dir(&target).expect("writable");
        let path = folder.path().join(".native/libtorch");
        let put: [&dyn Fn(); 4] = [
            &|| {},
            &|| symlink("/nowhere", &path).expect("writable"),
            &|| fs::write(&path, "x").expect("writable"),
            &|| fs::create_dir_all(path.join("lib")).expect("writable"),
        ];
        for old in put {
            remove_any(&path).expect("removable");
            old();
            point(&path, &target).expect("the link is made");
            assert_eq!(fs::read_link(&path).expect("a link"), target);
            let left = fs::read_dir(folder.path().join(".native")).expect("readable").count();
            assert_eq!(left, 1, "nothing else is left behind");
        }
    }
}
