//! How the process of a part says what it found: a line of JSON on standard output for each thing, as it comes.

use std::{
    backtrace::Backtrace,
    io::Write,
    panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind},
    sync::{Mutex, PoisonError},
};

use anyhow::Result;
use serde_json::{Value, json};

/// libtorch's errors carry a trace of their own; this much says what happened.
const MESSAGE_CHARS: usize = 2000;
/// So many calls, the innermost first, say where.
const CALLS: usize = 25;

/// The newest panic: what it said, and the calls that led there.
static PANIC: Mutex<Option<(String, Vec<String>)>> = Mutex::new(None);

/// Notes panics, and lets warnings of the libraries appear on standard error.
pub fn install() {
    std::panic::set_hook(Box::new(note));
    tracing_subscriber::fmt()
        .without_time()
        .with_target(false)
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .init();
}

fn note(panic: &PanicHookInfo) {
    let calls = calls(&Backtrace::force_capture().to_string());
    *PANIC.lock().unwrap_or_else(PoisonError::into_inner) = Some((shortened(&panic.to_string()), calls));
}

/// Says one thing.
pub fn tell(key: &str, value: Value) {
    let mut line = json!({ "key": key, "value": value }).to_string();
    line.push('\n');
    // Nobody listens any more: then nobody has to be told.
    let _ = std::io::stdout().write_all(line.as_bytes());
    let _ = std::io::stdout().flush();
}

/// Does `work`, and says under `problem` why it failed if it did. Whether it passed.
pub fn told(work: impl FnOnce() -> Result<()>) -> bool {
    let problem = match caught(work) {
        Ok(()) => return true,
        Err(problem) => problem,
    };
    tell("problem", problem);
    false
}

/// Does `work`; an error or a panic becomes what the report says of it.
pub fn caught<T>(work: impl FnOnce() -> Result<T>) -> Result<T, Value> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(error)) => Err(json!({ "message": shortened(&format!("{error:#}")) })),
        Err(_) => Err(newest_panic().unwrap_or_else(|| json!({ "message": "a panic that did not say why" }))),
    }
}

/// The newest panic, whoever caught it, for the report. It is then forgotten.
pub fn newest_panic() -> Option<Value> {
    let (message, calls) = PANIC.lock().unwrap_or_else(PoisonError::into_inner).take()?;
    Some(json!({ "message": message, "calls": calls }))
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(MESSAGE_CHARS) {
        None => text.to_string(),
        Some((end, _)) => format!("{} ...", &text[..end]),
    }
}

/// Of a trace, the calls in this project and in tch, each with its place where that is known. A call that was inlined
/// may have lost the name of its crate; its place, relative to the workspace, shows that it is ours.
fn calls(trace: &str) -> Vec<String> {
    // Before this call the trace is that of the panic hook.
    let trace = trace.rsplit_once("rust_begin_unwind").map_or(trace, |(_, rest)| rest);
    let mut calls: Vec<String> = Vec::new();
    let mut is_ours = false;
    let mut other = None;
    for line in trace.lines().map(str::trim) {
        if let Some(place) = line.strip_prefix("at ") {
            if let (true, Some(call)) = (place.starts_with("./"), other.take()) {
                is_ours = true;
                calls.push(call);
            }
            // Paths of the machine that built this say nothing here.
            let place = ["/agents/", "/envs/", "/src/"]
                .iter()
                .find_map(|folder| place.rfind(folder).map(|start| &place[start + 1..]));
            if let (true, Some(call), Some(place)) = (is_ours, calls.last_mut(), place) {
                *call += &format!(" at {place}");
            }
            is_ours = false;
        } else if let Some((number, call)) = line.split_once(": ") {
            is_ours = number.parse::<u32>().is_ok()
                && ["sac", "tch::"]
                    .iter()
                    .any(|start| call.trim_start_matches('<').starts_with(start))
                && !call.contains("tell::");
            if calls.len() == CALLS {
                break;
            }
            other = (!is_ours && !call.contains("tell::")).then(|| call.to_string());
            if is_ours {
                calls.push(call.to_string());
            }
        }
    }
    calls
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_reduced_to_calls_of_the_project_with_their_places() {
        let trace = "   0: std::backtrace::Backtrace::create\n             at /rustc/abc/library/std/src/backtrace.rs:331:13\n   \
                     1: sac_gpu_rehearsal::tell::install::{{closure}}\n   \
                     2: tch::wrappers::tensor_generated::<impl tch::Tensor>::matmul\n             at \
                     /home/x/.cargo/registry/src/tch-0.24.0/src/wrappers/tensor_generated.rs:7:1\n   \
                     3: <sac_agents::critic::Scalar as sac_agents::critic::Critic>::learn\n             at \
                     ./agents/src/critic/scalar.rs:189:22\n   4: main\n";
        assert_eq!(
            calls(trace),
            [
                "tch::wrappers::tensor_generated::<impl tch::Tensor>::matmul at src/wrappers/tensor_generated.rs:7:1",
                "<sac_agents::critic::Scalar as sac_agents::critic::Critic>::learn at agents/src/critic/scalar.rs:189:22",
            ]
        );
    }

    #[test]
    fn errors_and_results_are_told_apart() {
        assert_eq!(caught(|| Ok(3)), Ok(3));
        let problem = caught::<()>(|| anyhow::bail!("no")).expect_err("it failed");
        assert_eq!(problem, json!({ "message": "no" }));
    }

    #[test]
    fn a_panic_in_libtorch_is_told_with_the_call_that_it_came_from() {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            note(panic);
            before(panic); // other tests run meanwhile
        }));
        let product = || tch::Tensor::from(1.0).matmul(&tch::Tensor::from(2.0));
        let problem = caught(|| Ok(product())).expect_err("scalars have no product of matrices");
        let _ = std::panic::take_hook();
        assert!(
            problem["message"].as_str().is_some_and(|text| text.contains("1D")),
            "{problem}"
        );
        let calls = problem["calls"].as_array().expect("calls");
        let has = |what: &str| {
            calls
                .iter()
                .any(|call| call.as_str().is_some_and(|call| call.contains(what)))
        };
        assert!(has("matmul") && has("src/tell.rs"), "{problem:#}");
        assert_eq!(newest_panic(), None, "it was told");
    }

    #[test]
    fn long_messages_are_cut_between_characters() {
        let long = "ä".repeat(MESSAGE_CHARS + 1);
        assert_eq!(shortened(&long), format!("{} ...", "ä".repeat(MESSAGE_CHARS)));
        assert_eq!(shortened("short"), "short");
    }
}
