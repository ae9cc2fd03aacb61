//! `sac play`: films and contact sheets of a saved policy.

use std::fs;

use crate::support::{folder, sac, train};

#[test]
fn play_draws_a_film_or_a_contact_sheet_and_names_the_return() {
    let here = folder();
    train(here.path(), "run", "60", &[]);
    for (name, magic, every) in [
        ("film.gif", &b"GIF89a"[..], "20"),
        ("sheet.png", &b"\x89PNG\r\n"[..], "1"),
    ] {
        let said = sac(here.path(), &["play", "run", "--out", name, "--every", every]).ok();
        assert!(
            said.stdout.contains("Pendulum-v1, policy `") && said.stdout.contains("return -"),
            "{}",
            said.stdout
        );
        let bytes = fs::read(here.path().join(name)).expect("the file was written");
        assert!(
            bytes.starts_with(magic) && bytes.len() > 2000,
            "{name}: {} bytes",
            bytes.len()
        );
    }
    let again = sac(here.path(), &["play", "run", "--out", "again.gif", "--every", "20"]).ok();
    assert!(again.stdout.contains("again.gif"));
    let read = |name: &str| fs::read(here.path().join(name)).expect("written");
    assert_eq!(read("film.gif"), read("again.gif"), "the same seed draws the same film");
}

#[test]
fn play_refuses_a_name_that_says_no_format() {
    let here = folder();
    train(here.path(), "run", "60", &[]);
    sac(here.path(), &["play", "run", "--out", "film.mp4"])
        .code(2)
        .says(&["--out film.mp4", ".gif", ".png"]);
    assert!(!here.path().join("film.mp4").exists());
}

#[cfg(unix)]
#[test]
fn an_interrupted_film_leaves_no_half_of_it() {
    let here = folder();
    train(here.path(), "run", "60", &[]);
    let arguments = ["play", "run", "--out", "film.gif", "--episodes", "1000"];
    let mut child = crate::support::command(here.path(), &arguments)
        .spawn()
        .expect("starts");
    let film = here.path().join("film.gif");
    while fs::metadata(&film).map_or(0, |file| file.len()) == 0 {
        assert!(child.try_wait().expect("a child").is_none(), "it ended too early");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let kill = std::process::Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(kill.expect("kill is there").success());
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
    assert!(!film.exists());
}
