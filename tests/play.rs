//! `sac play`: films and contact sheets of a saved policy.

use std::{fs, path::Path, process::Command};

use crate::support::{Said, command, folder, sac, train};

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
    sac(here.path(), &["play", "run", "--out", "film.avi"])
        .code(2)
        .says(&["--out film.avi", ".gif", ".mp4", ".png"]);
    assert!(!here.path().join("film.avi").exists());
}

#[test]
fn play_takes_options_of_the_environment_and_a_limit_of_steps() {
    let here = folder();
    train(here.path(), "run", "60", &[]);
    let play = |more: &[&str]| {
        let arguments = [&["play", "run", "--out", "film.gif", "--every", "50"][..], more].concat();
        sac(here.path(), &arguments)
    };
    let film = || fs::read(here.path().join("film.gif")).expect("written");
    let all = play(&[]).ok().stdout;
    let film_of_all = film();
    let first = play(&["--max-steps", "50"]).ok().stdout;
    assert!(
        first.contains("1 episode(s) of at most 50 env step(s), return -"),
        "{first}"
    );
    assert!(film().len() < film_of_all.len());
    assert_ne!(play(&["--set", "g=1.0"]).ok().stdout, all);
    assert_eq!(
        play(&["--set", "env.g=10.0", "--max-steps", "200"]).ok().stdout,
        all.replace("1 episode(s)", "1 episode(s) of at most 200 env step(s)")
    );
    play(&["--set", "gg=1.0"]).code(2).says(&["gg"]);
    play(&["--set", "wrappers=[{kind=\"frame_stack\"}]"]).code(2).says(&[
        "its policy takes observations of 3 numbers",
        "Pendulum-v1 has observations of 9 numbers",
    ]);
    play(&["--max-steps", "0"]).code(2).says(&["--max-steps"]);
}

/// Names of the files beside a run, hidden ones too.
fn files_beside_run(here: &Path) -> Vec<String> {
    let names = fs::read_dir(here).expect("there").flatten();
    let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| !["run", "bin"].contains(&name.as_str())).collect()
}

/// A program `ffmpeg` that does what a script says, on the path of the command.
#[cfg(unix)]
fn with_ffmpeg(here: &Path, script: &str, arguments: &[&str]) -> Command {
    use std::os::unix::fs::PermissionsExt;
    let bin = here.join("bin");
    fs::create_dir_all(&bin).expect("a folder");
    let program = bin.join("ffmpeg");
    fs::write(&program, format!("#!/bin/sh\n{script}\n")).expect("a script");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("ours");
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = command(here, arguments);
    command.env("PATH", format!("{}:{path}", bin.display()));
    command
}

/// Writes its input as it is into the file that it is told.
#[cfg(unix)]
const COPY: &str = "for last; do :; done; exec cat > \"${last#file:}\"";

#[cfg(unix)]
#[test]
fn every_picture_of_an_mp4_goes_to_ffmpeg() {
    let here = folder();
    train(here.path(), "run", "60", &[]);
    let arguments = ["play", "run", "--out", "film.mp4", "--every", "10", "--max-steps", "35"];
    let said = Said::of(&mut with_ffmpeg(here.path(), COPY, &arguments)).ok();
    assert!(said.stdout.contains("film.mp4"), "{said}");
    // At steps 0, 10, 20, 30 and 35.
    let bytes = fs::read(here.path().join("film.mp4")).expect("written");
    assert_eq!(bytes.len(), 5 * 400 * 400 * 3);
    assert!(bytes.iter().any(|byte| *byte != bytes[0]), "the pictures are not empty");
    assert_eq!(files_beside_run(here.path()), ["film.mp4"]);
}

#[cfg(unix)]
#[test]
fn what_ffmpeg_reports_is_the_error_and_the_film_before_it_stays() {
    let here = folder();
    train(here.path(), "run", "60", &[]);
    fs::write(here.path().join("film.mp4"), "an older film").expect("written");
    let arguments = ["play", "run", "--out", "film.mp4", "--max-steps", "20"];
    for script in [
        "echo 'no such codec' >&2; exit 3",
        "for last; do :; done; cat > \"${last#file:}\"; echo 'no such codec' >&2; exit 3",
    ] {
        Said::of(&mut with_ffmpeg(here.path(), script, &arguments))
            .code(1)
            .says(&["film.mp4: ffmpeg failed", "no such codec"]);
        assert_eq!(files_beside_run(here.path()), ["film.mp4"], "{script}");
        let bytes = fs::read(here.path().join("film.mp4")).expect("there");
        assert_eq!(bytes, b"an older film");
    }
}

#[test]
fn an_mp4_without_ffmpeg_is_refused_with_a_hint() {
    let here = folder();
    train(here.path(), "run", "60", &[]);
    let mut command = command(here.path(), &["play", "run", "--out", "film.mp4"]);
    Said::of(command.env("PATH", ""))
        .code(2)
        .says(&["film.mp4", "ffmpeg", "hint: install ffmpeg", ".gif"]);
    assert_eq!(files_beside_run(here.path()), [] as [&str; 0]);
}

/// Without ffmpeg there is nothing to check.
#[test]
fn ffmpeg_writes_an_mp4() {
    if Command::new("ffmpeg").arg("-version").output().is_err() {
        return;
    }
    let here = folder();
    train(here.path(), "run", "60", &[]);
    sac(here.path(), &["play", "run", "--out", "film.mp4", "--every", "10"]).ok();
    let bytes = fs::read(here.path().join("film.mp4")).expect("written");
    assert_eq!(&bytes[4..8], b"ftyp");
    assert!(bytes.len() > 1000, "{} bytes", bytes.len());
    assert_eq!(files_beside_run(here.path()), ["film.mp4"]);
}

#[cfg(unix)]
#[test]
fn an_interrupted_film_leaves_no_half_of_it() {
    let here = folder();
    train(here.path(), "run", "60", &[]);
    for name in ["film.gif", "film.mp4"] {
        let arguments = ["play", "run", "--out", name, "--episodes", "1000"];
        let mut child = with_ffmpeg(here.path(), COPY, &arguments).spawn().expect("starts");
        let unfinished = here.path().join(format!(".{name}.part"));
        while fs::metadata(&unfinished).map_or(0, |file| file.len()) == 0 {
            assert!(child.try_wait().expect("a child").is_none(), "it ended too early");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
        assert!(kill.expect("kill is there").success());
        assert_eq!(child.wait().expect("it ends").code(), Some(130));
        assert_eq!(files_beside_run(here.path()), [] as [&str; 0], "{name}");
    }
}
