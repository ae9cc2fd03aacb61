//! Policies in ONNX: they are valid, act in ONNX Runtime as the interpreter does, and notice a changed weight.

#[path = "support/every_operation.rs"]
mod every_operation;

use std::{
    fs,
    path::Path,
    process::{Command, Output},
    sync::Arc,
};

use every_operation::{NOISE, Numbers, OBSERVATION, every_operation};
use sac_policy::{Interpreter, TOLERANCE, largest_error, onnx_model};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/self_test.py");

/// The Python of the tests, which has onnx and ONNX Runtime; `None` where there is none and none is required.
fn python() -> Option<String> {
    let python = std::env::var("SAC_TEST_PYTHON").ok().filter(|path| !path.is_empty());
    if python.is_none() {
        let is_required = std::env::var("SAC_TEST_REQUIRE_PYTHON").is_ok_and(|value| value != "0");
        assert!(
            !is_required,
            "SAC_TEST_REQUIRE_PYTHON is set, and SAC_TEST_PYTHON names no interpreter"
        );
        eprintln!("skipped: SAC_TEST_PYTHON names no interpreter (`cargo xtask python` makes one)");
    }
    python
}

fn run(python: &str, arguments: &[&Path]) -> Output {
    Command::new(python)
        .arg(SCRIPT)
        .args(arguments)
        .output()
        .expect("Python starts")
}

#[test]
fn every_operation_is_valid_and_acts_as_the_interpreter() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let export = every_operation().expect("fits");
    let [model, numbers, actions] = ["policy.onnx", "numbers", "actions"].map(|name| folder.path().join(name));
    fs::write(&model, onnx_model(&export)).expect("writable");

    let output = run(&python, &[&model]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    assert!(text.starts_with("largest error of 32 recorded actions: "), "{text}");

    let rows = 10_000;
    let mut random = Numbers(3);
    let obs: Vec<f32> = random.list(rows * OBSERVATION).iter().map(|x| 5.0 * x).collect();
    let noise: Vec<f32> = random.list(rows * NOISE).iter().map(|x| 0.5 + 0.499 * x).collect();
    let mut input = Vec::new();
    for (obs, noise) in obs.chunks_exact(OBSERVATION).zip(noise.chunks_exact(NOISE)) {
        obs.iter().chain(noise).for_each(|x| input.extend(x.to_le_bytes()));
    }
    fs::write(&numbers, input).expect("writable");
    let output = run(&python, &[&model, &numbers, &actions]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let bytes = fs::read(&actions).expect("written");
    let actions: Vec<f32> = bytes
        .as_chunks::<4>()
        .0
        .iter()
        .map(|bytes| f32::from_le_bytes(*bytes))
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
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let export = every_operation().expect("fits");
    let weight = export.graph().tensor("body.weight").data[5].to_le_bytes();
    let mut bytes = onnx_model(&export);
    let places: Vec<usize> = (0..bytes.len())
        .filter(|at| bytes[*at..].starts_with(&weight))
        .collect();
    assert_eq!(places.len(), 1, "the weight occurs once");
    // The last bit of a weight changes no recorded action by more than the tolerance.
    bytes[places[0]] ^= 1;
    let model = folder.path().join("policy.onnx");
    fs::write(&model, bytes).expect("writable");
    let output = run(&python, &[&model]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("the weights are not those that were written"), "{text}");
}
