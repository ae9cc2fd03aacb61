//! Pages and pictures of this repository against its data files.

use std::path::Path;

use sac_report::{data, pages};

fn root() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()
        .expect("the repository")
}

#[test]
fn tables_and_pictures_are_what_the_data_files_give() {
    let stale = pages::stale(&root()).expect("pages and data files can be read");
    let names: Vec<_> = stale.iter().map(|stale| stale.path.display().to_string()).collect();
    assert!(names.is_empty(), "`cargo xtask results` writes {names:#?}");
}

#[test]
fn every_picture_of_curves_has_its_data_file() {
    let folder = root().join("docs/curves");
    let mut expected = Vec::new();
    let mut found = Vec::new();
    for entry in std::fs::read_dir(&folder).expect("the folder").flatten() {
        let path = entry.path();
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("json") => {
                assert!(data::read_sealed(&path).is_ok(), "{}", path.display());
                expected.extend(pages::pictures(&path).expect("drawn").into_iter().map(|(path, _)| path));
            }
            Some("svg") => found.push(path),
            _ => {}
        }
    }
    found.sort();
    expected.sort();
    assert!(found.len() > 10, "only {} pictures", found.len());
    assert_eq!(found, expected);
}
