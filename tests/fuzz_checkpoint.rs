//! Damaged checkpoints whose digests were made anew, so that they look whole: each is refused before anything changes, or
//! gives the run that the undamaged one gives.
//!
//! `cargo xtask fuzz checkpoint --cases N` runs more of them. Case i is the same on every machine.

use std::{
    collections::BTreeMap,
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use crate::generator::Generator;
use crate::support::{contents, folder};
use sac::{
    agents::checkpoint::Manifest,
    config::{Config, Origin},
    prelude::*,
};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// Cases in CI; a few seconds.
const CASES: u64 = 150;
const SAVED_AT: u64 = 120;
const END: u64 = 150;

/// A run up to its checkpoint.
fn begin(path: &Path, assignments: &[&str]) -> RunFolder {
    let small = [
        "train.total_env_steps=120",
        "train.warmup_env_steps=40",
        "train.batch_size=8",
        "train.threads=1",
        "agent.body.hidden=[6,5]",
        "replay.capacity=100",
        "env.num_envs=2",
        "eval.every=never",
    ];
    let registry = Registry::builtin();
    let all = [&small[..], assignments].concat();
    let config = sac::configure(&registry, "Pendulum-v1", "sac", &all).expect("valid");
    let run = RunFolder::create(path).expect("a new folder");
    train_into(&config, &registry, &run, Session::default()).expect("it trains");
    run
}

/// Goes on to the end; the manifest of the last checkpoint, which has a digest of everything.
fn finish(run: &RunFolder) -> sac::Result<Vec<u8>> {
    let registry = Registry::builtin();
    let mut layers = run.layers()?;
    layers.set(Origin::Flag("--steps"), "train.total_env_steps", END as i64);
    let config = Config::resolve(&layers, &registry)?;
    sac::run::resume_with(&config, &registry, run, Session::default())?;
    Ok(fs::read(run.path().join(format!("checkpoints/{END}/manifest.json"))).expect("the end is saved"))
}

fn copy(from: &Path, to: &Path) -> RunFolder {
    for (name, bytes) in contents(from) {
        let path = to.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("writable");
        fs::write(path, bytes).expect("writable");
    }
    RunFolder::open(to).expect("a run")
}

#[test]
fn damaged_checkpoints_are_refused_or_change_nothing() {
    let cases = std::env::var("SAC_FUZZ_CASES").map_or(CASES, |cases| cases.parse().expect("a number of cases"));
    let here = folder();
    let bases = [
        ("uniform", &["replay.n_step=3"][..]),
        (
            "prioritized",
            &["replay.sampler={kind='prioritized'}", "train.pipelined=true"],
        ),
    ];
    let bases = bases.map(|(name, assignments)| {
        let run = begin(&here.path().join(name), assignments);
        let end = finish(&copy(run.path(), &here.path().join(format!("{name} to its end")))).expect("undamaged");
        (run.path().to_path_buf(), end)
    });
    let (mut refused, mut the_same) = (0u64, 0u64);
    for number in 0..cases {
        let random = &mut Generator(number);
        let (base, end) = random.one_of(&bases);
        let run = copy(base, &here.path().join("damaged"));
        let damage = damage(&run.path().join(format!("checkpoints/{SAVED_AT}")), random);
        let before = contents(here.path());
        let what = || format!("case {number}: {damage}");
        match catch_unwind(AssertUnwindSafe(|| finish(&run))) {
            Err(_) => panic!("{}: a panic", what()),
            Ok(Err(error)) => {
                refused += 1;
                assert!(
                    before == contents(here.path()),
                    "{}: refused, but files changed: {error}",
                    what()
                );
            }
            Ok(Ok(other)) => {
                the_same += 1;
                assert!(other == *end, "{}: taken, and another run came of it", what());
            }
        }
        fs::remove_dir_all(run.path()).expect("ours");
    }
    eprintln!("{cases} damaged checkpoints: {refused} refused, {the_same} as if undamaged");
    assert!(refused > cases / 2, "{refused} of {cases} are refused");
}

/// Damages a checkpoint and makes its digests anew. Says what was done.
fn damage(checkpoint: &Path, random: &mut Generator) -> String {
    let done = match random.below(10) {
        0..=4 => damage_tensors(&a_file_of_tensors(checkpoint, random), random),
        5..=8 => damage_state(&checkpoint.join("state.json"), random),
        _ => return damage_manifest(&checkpoint.join("manifest.json"), random),
    };
    renew(checkpoint);
    done
}

fn a_file_of_tensors(checkpoint: &Path, random: &mut Generator) -> PathBuf {
    let files = contents(checkpoint);
    let files: Vec<&String> = files.keys().filter(|name| name.ends_with(".safetensors")).collect();
    checkpoint.join(random.one_of(&files))
}

/// Sizes and digests as they are now.
fn renew(checkpoint: &Path) {
    let path = checkpoint.join("manifest.json");
    let mut manifest: Manifest = serde_json::from_slice(&fs::read(&path).expect("there")).expect("a manifest");
    manifest.files.clear();
    for (name, bytes) in contents(checkpoint) {
        if name != "manifest.json" {
            let sha256 = Sha256::digest(&bytes)
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            let bytes = bytes.len() as u64;
            manifest
                .files
                .insert(name, sac::agents::checkpoint::FileDigest { bytes, sha256 });
        }
    }
    write_json(&path, &manifest);
}

fn write_json(path: &Path, value: &impl serde::Serialize) {
    let mut text = serde_json::to_vec_pretty(value).expect("JSON");
    text.push(b'\n');
    fs::write(path, text).expect("writable");
}

fn damage_tensors(path: &Path, random: &mut Generator) -> String {
    let file = fs::read(path).expect("there");
    let header_bytes = u64::from_le_bytes(file[..8].try_into().expect("8 bytes")) as usize;
    let mut header: Map<String, Value> = serde_json::from_slice(&file[8..8 + header_bytes]).expect("a header");
    let mut data = file[8 + header_bytes..].to_vec();
    let names: Vec<String> = header.keys().filter(|name| *name != "__metadata__").cloned().collect();
    let name = random.one_of(&names).clone();
    let info = header[&name].clone();
    let span = [0, 1].map(|end| info["data_offsets"][end].as_u64().expect("an offset") as usize);
    let mut what = format!("{}, `{name}`", path.display());
    match random.below(9) {
        0 => {
            let mut shape = info["shape"].as_array().expect("a shape").clone();
            shape.reverse();
            header[&name]["shape"] = shape.into();
            what += ": shape reversed";
        }
        1 => {
            let count: u64 = info["shape"]
                .as_array()
                .expect("a shape")
                .iter()
                .filter_map(Value::as_u64)
                .product();
            header[&name]["shape"] = json!([count]);
            what += ": shape flattened";
        }
        2 => {
            let info = header.remove(&name).expect("there");
            header.insert(format!("{name}.other"), info);
            what += ": renamed";
        }
        3 => {
            let end = data.len();
            data.extend([0; 8]);
            header.insert(
                "extra".into(),
                json!({"dtype": "F32", "shape": [2], "data_offsets": [end, end + 8]}),
            );
            what += ": a tensor more";
        }
        4 => {
            header[&name]["dtype"] = if info["dtype"] == "F32" { "I32" } else { "F64" }.into();
            what += ": another type";
        }
        5 if info["dtype"] == "F32" && span[1] > span[0] => {
            let at = span[0] + 4 * random.below((span[1] - span[0]) / 4);
            data[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes());
            what += ": NaN";
        }
        6 if info["dtype"] == "I64" => {
            let absurd = *random.one_of(&[-1, 1 << 40, i64::MAX, i64::MIN]);
            data[span[0]..span[0] + 8].copy_from_slice(&absurd.to_le_bytes());
            what += &format!(": {absurd}");
        }
        7 => {
            header[&name]["data_offsets"] = json!([span[0], u64::MAX]);
            what += ": no end";
        }
        _ => {
            data.truncate(random.below(data.len()));
            what += ": truncated";
        }
    }
    let header = serde_json::to_vec(&header).expect("JSON");
    let all = [&(header.len() as u64).to_le_bytes()[..], &header, &data].concat();
    fs::write(path, all).expect("writable");
    what
}

fn damage_state(path: &Path, random: &mut Generator) -> String {
    let mut state: BTreeMap<String, Value> =
        serde_json::from_slice(&fs::read(path).expect("there")).expect("an object");
    let sections: Vec<String> = state.keys().cloned().collect();
    let section = random.one_of(&sections).clone();
    let mut what = format!("state of `{section}`");
    match random.below(6) {
        0 => {
            state.insert("extra".into(), json!({"a": 1}));
            what = "a section more".into();
        }
        1 => {
            state.remove(&section);
            what += ": removed";
        }
        2 => {
            let text = serde_json::to_vec(&state).expect("JSON");
            fs::write(path, &text[..random.below(text.len())]).expect("writable");
            return "state.json truncated".into();
        }
        _ => {
            let value = state.get_mut(&section).expect("there");
            what += &damage_value(value, random);
        }
    }
    write_json(path, &state);
    what
}

/// Changes a value somewhere within `value` to one that no program would write there.
fn damage_value(value: &mut Value, random: &mut Generator) -> String {
    match value {
        Value::Object(object) if !object.is_empty() && random.below(4) > 0 => {
            let keys: Vec<String> = object.keys().cloned().collect();
            let key = random.one_of(&keys).clone();
            format!(".{key}{}", damage_value(&mut object[&key], random))
        }
        Value::Array(list) if !list.is_empty() && random.below(4) > 0 => {
            let at = random.below(list.len());
            format!("[{at}]{}", damage_value(&mut list[at], random))
        }
        Value::Object(object) => {
            object.insert("extra".into(), json!(1));
            " with a key more".into()
        }
        other => {
            let absurd = [json!("?"), json!(-7.5e300), json!([[]]), json!({"a": {}}), json!(true)];
            let absurd = random.one_of(&absurd).clone();
            let what = format!(" = {absurd} for {other}");
            *other = absurd;
            what
        }
    }
}

fn damage_manifest(path: &Path, random: &mut Generator) -> String {
    let mut manifest: Value = serde_json::from_slice(&fs::read(path).expect("there")).expect("JSON");
    let count = *random.one_of(&["env_steps", "grad_steps"]);
    let what = match random.below(4) {
        0 => {
            manifest[count] = json!(4_294_967_296u64);
            format!("manifest: {count} of another checkpoint")
        }
        1 => {
            let digest = json!({"bytes": 4, "sha256": "0".repeat(64)});
            let name = *random.one_of(&[
                "../../../x.safetensors",
                "/etc/passwd",
                "/dev/zero",
                "a/b.safetensors",
                "",
            ]);
            manifest["files"][name] = digest;
            format!("manifest: a file `{name}`")
        }
        2 => {
            manifest["files"]["state.json"]["bytes"] = json!(u64::MAX);
            "manifest: a huge file".into()
        }
        _ => {
            let damage = damage_value(&mut manifest, random);
            format!("manifest{damage}")
        }
    };
    // In the order in which it is written, as far as it can still be read.
    match serde_json::from_value::<Manifest>(manifest.clone()) {
        Ok(manifest) => write_json(path, &manifest),
        Err(_) => write_json(path, &manifest),
    }
    what
}
