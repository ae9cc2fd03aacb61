//! Policies in C: they compile without a warning, act as the interpreter does, and notice a changed weight.

#[path = "support/every_operation.rs"]
mod every_operation;

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
};

use every_operation::{NOISE, Numbers, OBSERVATION, every_operation};
use sac_policy::{Export, Interpreter, TOLERANCE, c_files, largest_error};

const WARNINGS: [&str; 5] = ["-std=c99", "-Wall", "-Wextra", "-Wconversion", "-Werror"];

/// The self-test as a program.
const TESTED: [&str; 3] = ["-DSAC_POLICY_MAIN", "-O2", "policy.c"];

/// A Cortex-M4 with its unit for single precision, without an operating system. What it prints goes to the emulator.
const CORTEX_M4: [&str; 7] = [
    "-mcpu=cortex-m4",
    "-mthumb",
    "-mfloat-abi=hard",
    "-mfpu=fpv4-sp-d16",
    "--specs=rdimon.specs",
    "-Tcortex_m4.ld",
    "cortex_m4.c",
];

/// A program that acts on observations, and noise after each, from stdin.
const DRIVER: &str = r#"
#include "policy.h"
#include <stdio.h>
int main(void)
{
    static float obs[SAC_POLICY_OBSERVATION], noise[SAC_POLICY_NOISE + 1], action[SAC_POLICY_ACTION];
    while (fread(obs, sizeof obs, 1, stdin) == 1 && fread(noise, sizeof(float), SAC_POLICY_NOISE, stdin) == SAC_POLICY_NOISE) {
        if (sac_policy_act(obs, noise, action) != SAC_POLICY_OK) {
            return 1;
        }
        fwrite(action, sizeof action, 1, stdout);
    }
    return 0;
}
"#;

fn write(folder: &Path, export: &Export) {
    let files = c_files(export, "policy").expect("can be written");
    fs::write(folder.join("policy.h"), files.header).expect("writable");
    fs::write(folder.join("policy.c"), files.source).expect("writable");
}

/// Compiles with a compiler and returns the program.
fn compile(compiler: &str, folder: &Path, name: &str, arguments: &[&str]) -> PathBuf {
    let program = folder.join(name);
    let output = Command::new(compiler)
        .args(WARNINGS)
        .args(arguments)
        .arg("-o")
        .arg(&program)
        .arg("-lm")
        .current_dir(folder)
        .output()
        .expect("the compiler starts");
    let messages = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && messages.is_empty(), "{compiler}: {messages}");
    program
}

fn is_installed(compiler: &str) -> bool {
    let is_there = Command::new(compiler).arg("--version").output().is_ok();
    if !is_there {
        eprintln!("skipped: {compiler} is not installed");
    }
    is_there
}

#[test]
fn every_operation_compiles_without_a_warning_and_acts_as_recorded() {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), &every_operation().expect("fits"));
    let compilers: Vec<&str> = ["gcc", "clang"].into_iter().filter(|name| is_installed(name)).collect();
    assert!(!compilers.is_empty(), "a C compiler is part of the set-up");
    for compiler in compilers {
        for level in ["-O0", "-O3"] {
            let program = compile(
                compiler,
                folder.path(),
                "test",
                &["-DSAC_POLICY_MAIN", level, "policy.c"],
            );
            let output = Command::new(program).output().expect("starts");
            let text = String::from_utf8_lossy(&output.stdout);
            eprintln!("{compiler} {level}: {text}");
            assert!(output.status.success(), "{compiler} {level}: {text}");
            assert!(text.starts_with("largest error of 32 recorded actions: "), "{text}");
        }
    }
}

#[test]
fn other_processors_compile_and_run_it_where_their_compilers_are() {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), &every_operation().expect("fits"));
    if is_installed("arm-none-eabi-gcc") {
        fs::write(folder.path().join("cortex_m4.c"), include_str!("support/cortex_m4.c")).expect("writable");
        fs::write(folder.path().join("cortex_m4.ld"), include_str!("support/cortex_m4.ld")).expect("writable");
        let arguments = [&CORTEX_M4[..], &TESTED].concat();
        let program = compile("arm-none-eabi-gcc", folder.path(), "m4", &arguments);
        let board = [
            "-M",
            "mps2-an386",
            "-nographic",
            "-semihosting-config",
            "enable=on,target=native",
        ];
        self_test_passes(Command::new("qemu-system-arm").args(board).arg("-kernel").arg(program));
    }
    for (compiler, emulator) in [
        ("arm-linux-gnueabihf-gcc", "qemu-arm"),
        ("riscv64-linux-gnu-gcc", "qemu-riscv64"),
    ] {
        if !is_installed(compiler) {
            continue;
        }
        let program = compile(compiler, folder.path(), "test", &[&["-static"], &TESTED[..]].concat());
        self_test_passes(Command::new(emulator).arg(program));
    }
}

/// Runs a self-test in an emulator, if that is installed.
fn self_test_passes(emulated: &mut Command) {
    let emulator = emulated.get_program().to_string_lossy().into_owned();
    if is_installed(&emulator) {
        let output = emulated.output().expect("starts");
        let text = String::from_utf8_lossy(&output.stdout);
        eprintln!("{emulator}: {text}");
        assert!(output.status.success(), "{emulator}: {text}");
        assert!(text.starts_with("largest error of 32 recorded actions: "), "{text}");
    }
}

#[test]
fn ten_thousand_observations_give_the_actions_of_the_interpreter() {
    let folder = tempfile::tempdir().expect("a folder");
    let export = every_operation().expect("fits");
    write(folder.path(), &export);
    fs::write(folder.path().join("driver.c"), DRIVER).expect("writable");
    let program = compile("gcc", folder.path(), "driver", &["-O2", "policy.c", "driver.c"]);

    let rows = 10_000;
    let mut numbers = Numbers(3);
    let obs: Vec<f32> = numbers.list(rows * OBSERVATION).iter().map(|x| 5.0 * x).collect();
    let noise: Vec<f32> = numbers.list(rows * NOISE).iter().map(|x| 0.5 + 0.499 * x).collect();
    let mut input = Vec::new();
    for (obs, noise) in obs.chunks_exact(OBSERVATION).zip(noise.chunks_exact(NOISE)) {
        obs.iter().chain(noise).for_each(|x| input.extend(x.to_ne_bytes()));
    }
    let mut child = Command::new(program)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut stdin = child.stdin.take().expect("piped");
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().expect("ends");
    writer.join().expect("joins").expect("reads all");
    let actions: Vec<f32> = output
        .stdout
        .as_chunks::<4>()
        .0
        .iter()
        .map(|bytes| f32::from_ne_bytes(*bytes))
        .collect();
    let mut interpreter = Interpreter::new(Arc::new(export.graph().clone()));
    let expected = interpreter.run(rows, &obs, &noise);
    assert_eq!(actions.len(), expected.len());
    let (at, error) = largest_error(&export.facts().action_space, &actions, expected);
    eprintln!("largest error {error:e}");
    assert!(error <= TOLERANCE, "{error:e} at {at}");
}

#[test]
fn one_flipped_bit_of_a_weight_fails_the_self_test() {
    let folder = tempfile::tempdir().expect("a folder");
    let export = every_operation().expect("fits");
    write(folder.path(), &export);
    // The last bit of a weight changes no recorded action by more than the tolerance.
    let weight = export.graph().tensor("body.weight").data[5];
    let path = folder.path().join("policy.c");
    let source = fs::read_to_string(&path).expect("written");
    let (before, after) = (
        format!("{weight:e}f,"),
        format!("{:e}f,", f32::from_bits(weight.to_bits() ^ 1)),
    );
    assert_eq!(source.matches(&before).count(), 1, "the weight occurs once");
    fs::write(&path, source.replace(&before, &after)).expect("writable");
    let program = compile("gcc", folder.path(), "test", &["-DSAC_POLICY_MAIN", "policy.c"]);
    let output = Command::new(program).output().expect("starts");
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("the weights are not those that were written"), "{text}");
}

#[test]
fn an_observation_of_the_wrong_length_or_with_nan_gives_an_error_code() {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), &every_operation().expect("fits"));
    let main = r#"
#include "policy.h"
#include <math.h>
int main(void)
{
    float obs[SAC_POLICY_OBSERVATION] = {0}, noise[SAC_POLICY_NOISE] = {0}, action[SAC_POLICY_ACTION] = {0};
    if (sac_policy_act_checked(obs, SAC_POLICY_OBSERVATION, noise, action, SAC_POLICY_ACTION) != SAC_POLICY_OK) {
        return 1;
    }
    if (sac_policy_act_checked(obs, SAC_POLICY_OBSERVATION - 1, noise, action, SAC_POLICY_ACTION) != SAC_POLICY_WRONG_LENGTH) {
        return 2;
    }
    if (sac_policy_act_checked(obs, SAC_POLICY_OBSERVATION, noise, action, 1) != SAC_POLICY_WRONG_LENGTH) {
        return 3;
    }
    obs[1] = NAN;
    action[0] = 0.125f;
    if (sac_policy_act(obs, noise, action) != SAC_POLICY_WRONG_VALUE) {
        return 4;
    }
    return action[0] == 0.125f ? 0 : 5;
}
"#;
    fs::write(folder.path().join("main.c"), main).expect("writable");
    let program = compile("gcc", folder.path(), "main", &["policy.c", "main.c"]);
    let output = Command::new(program).output().expect("starts");
    assert_eq!(output.status.code(), Some(0));
}
