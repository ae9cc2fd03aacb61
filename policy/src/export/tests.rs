//! The loader takes a whole file or none, and never panics.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;
use crate::Policy;
use every_operation::{Numbers, every_operation};

// The same policy tests the writers of other formats, which are outside of this crate.
#[path = "../../tests/support/every_operation.rs"]
mod every_operation;

/// Damaged files, of which each is read.
const CASES: usize = 10_000;

#[test]
fn a_file_gives_back_what_was_written() {
    let export = every_operation().expect("fits");
    let bytes = export.to_bytes().expect("can be written");
    assert_eq!(Export::from_bytes(&bytes).expect("is whole"), export);
    let error = Policy::new(export).self_test().expect("acts as recorded");
    assert_eq!(error, 0.0);
}

#[test]
fn a_single_flipped_bit_anywhere_is_noticed() {
    let bytes = every_operation().expect("fits").to_bytes().expect("can be written");
    let mut numbers = Numbers(1);
    // Every byte of the tensors and of the header, one bit each.
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (numbers.bits() % 8);
        assert!(
            Export::from_bytes(&damaged).is_err(),
            "a flipped bit of byte {at} is read"
        );
    }
}

#[test]
fn weights_that_are_not_finite_are_refused() {
    let export = every_operation().expect("fits");
    let name = "body.weight".to_string();
    for number in [f32::NAN, f32::INFINITY] {
        let mut tensors = export.graph().tensors().clone();
        tensors.get_mut(&name).expect("is there").data[3] = number;
        let nodes = export.graph().nodes().to_vec();
        let error = Draft::of(export.graph().observation(), nodes, tensors).expect_err("refused");
        assert!(error.to_string().contains("`body.weight`"), "{error}");
    }
}

/// Changes a number, a text, or the length of a list somewhere in a JSON value.
fn change(value: &mut serde_json::Value, numbers: &mut Numbers) {
    let choose = |numbers: &mut Numbers, count: usize| numbers.bits() as usize % count;
    match value {
        serde_json::Value::Object(map) if !map.is_empty() => {
            let at = choose(numbers, map.len());
            if let Some((_, value)) = map.iter_mut().nth(at) {
                change(value, numbers);
            }
        }
        serde_json::Value::Array(list) if !list.is_empty() => {
            let at = choose(numbers, list.len());
            match numbers.bits() % 8 {
                0 => drop(list.remove(at)),
                1 => list.push(list[at].clone()),
                _ => change(&mut list[at], numbers),
            }
        }
        _ => {
            let extremes = [
                serde_json::json!(0),
                serde_json::json!(1),
                serde_json::json!(2),
                serde_json::json!(3),
                serde_json::json!(17),
                serde_json::json!(u64::MAX),
                serde_json::json!(1u64 << 40),
                serde_json::json!(-1),
                serde_json::json!(1e300),
                serde_json::json!(0.5),
                serde_json::json!(null),
                serde_json::json!("body.weight"),
                serde_json::json!([]),
                serde_json::json!([1, 2, 3]),
            ];
            *value = extremes[choose(numbers, extremes.len())].clone();
        }
    }
}

/// A file whose digest is right, and whose content need not be.
fn signed(numbers: &mut Numbers, header: &str, tensors: &BTreeMap<String, Tensor>) -> Vec<u8> {
    let mut header: serde_json::Value = serde_json::from_str(header).expect("JSON");
    let mut tensors = tensors.clone();
    for _ in 0..=numbers.bits() % 3 {
        if numbers.bits().is_multiple_of(4) {
            let at = numbers.bits() as usize % tensors.len();
            let tensor = tensors.values_mut().nth(at).expect("is there");
            match numbers.bits() % 3 {
                0 => tensor.shape.reverse(),
                1 => tensor.shape = vec![tensor.data.len()],
                _ => tensor.data.iter_mut().for_each(|x| *x *= 1e30),
            }
        } else {
            change(&mut header, numbers);
        }
    }
    write(header.to_string(), &tensors).expect("can be written")
}

#[test]
fn ten_thousand_damaged_files_end_with_an_error_or_a_policy_that_acts() {
    let bytes = every_operation().expect("fits").to_bytes().expect("can be written");
    let (header, tensors) = read(&bytes).expect("is whole");
    let mut numbers = Numbers(2026);
    let mut acted = 0;
    for case in 0..CASES {
        let mut damaged = bytes.clone();
        match case % 4 {
            0 => damaged.truncate(numbers.bits() as usize % bytes.len()),
            1 => {
                // The length of the header, and what is near it.
                let at = numbers.bits() as usize % 24;
                damaged[at] = numbers.bits() as u8;
            }
            _ => damaged = signed(&mut numbers, &header, &tensors),
        }
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let Ok(export) = Export::from_bytes(&damaged) else {
                return false;
            };
            let numbers: usize = export.graph().shapes().iter().flatten().sum();
            if numbers > 100_000 {
                return false;
            }
            let _ = Policy::new(export).self_test();
            true
        }));
        match outcome {
            Ok(has_acted) => acted += usize::from(has_acted),
            Err(_) => panic!("case {case} panics"),
        }
    }
    // Changed seeds and names leave a policy that acts; otherwise the cases would test the digest alone.
    assert!((100..CASES / 2).contains(&acted), "{acted} of {CASES} were read");
}
