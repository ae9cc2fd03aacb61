//! [`Worker`]: a Python process that holds environments, and the pipes to it.

use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitIdStatus, kill_process_group, waitid};
use serde_json::{Value, json};

use super::describe::Description;
use super::memory::{Ended, Layout, Memory, Request, WORDS};
use super::output::Output;
use super::spec::PythonSpec;
use crate::{Dtype, EnvError, Outcome, Space};

/// What the interpreter runs.
const SCRIPT: &str = concat!(
    include_str!("guardian.py"),
    include_str!("imports.py"),
    include_str!("spaces.py"),
    include_str!("goals.py"),
    include_str!("hosted.py"),
    include_str!("making.py"),
    include_str!("worker.py"),
);

/// Time that importing packages and making environments may take.
const START_TIMEOUT: Duration = Duration::from_secs(300);
/// Whether steps are announced by words in shared memory, which both sides poll, and not through the pipes. Others see the
/// stores of Python in their order on this architecture, as the words require.
const HAS_WORDS: bool = cfg!(target_arch = "x86_64");
/// Time for which an answer is polled for before this process sleeps: a few times as long as waking it takes. For a worker
/// whose last answer took longer, it sleeps at once.
const SPIN: Duration = Duration::from_micros(200);
/// Pauses of the processor between looks at a word: about 1 µs.
const PAUSES: usize = 30;
/// How often a worker is looked at that does not answer.
const LOOK: Duration = Duration::from_millis(100);
/// Time that a worker has to close its environments.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);
/// Of a request and of an answer.
const HEADER: usize = 8;
/// A longer answer is no answer.
const LONGEST_ANSWER: usize = 1 << 28;

/// Why a request was not carried out.
#[derive(Debug)]
pub(super) enum Fault {
    /// Python raised an exception, or the worker refuses what the environment did. The worker goes on.
    Raised {
        /// The option that is wrong, if one is.
        option: Option<String>,
        message: String,
    },
    /// The worker has ended, or was ended.
    Gone(String),
}

/// A Python process that holds environments.
pub(super) struct Worker {
    child: Child,
    requests: ChildStdin,
    answers: ChildStdout,
    output: Output,
    memory: Option<Memory>,
    layouts: Vec<Layout>,
    timeout: Duration,
    /// Whether both sides poll for a while before they sleep.
    polls: bool,
    /// Whether the last answer took longer than is polled for.
    is_slow: bool,
    /// Why it can be used no more.
    gone: Option<String>,
}

impl Worker {
    /// Starts a process, without waiting for anything. Both sides poll before they sleep if `polls`, which needs a core for
    /// each.
    ///
    /// # Errors
    /// When there is no such interpreter.
    pub(super) fn start(spec: &PythonSpec, polls: bool) -> Result<Self, EnvError> {
        let interpreter = spec.interpreter();
        let failed = |error: io::Error| EnvError::Option {
            env: spec.name.clone(),
            option: "python".to_string(),
            problem: match error.kind() {
                io::ErrorKind::NotFound => format!(
                    "there is no interpreter `{}`; name one: env.python = \"path/to/python\"",
                    interpreter.display()
                ),
                _ => format!("`{}` cannot be started: {error}", interpreter.display()),
            },
        };
        let mut child = Command::new(&interpreter)
            .args(["-u", "-c", SCRIPT])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C in a terminal is for this process alone.
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        let (Some(requests), Some(answers), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(failed(io::Error::other("it has no pipes")));
        };
        Ok(Worker {
            output: Output::capture(&spec.name, stderr).map_err(failed)?,
            child,
            requests,
            answers,
            memory: None,
            layouts: Vec::new(),
            timeout: spec.step_timeout(),
            polls,
            is_slow: true,
            gone: None,
        })
    }

    /// Asks for `count` environments, without waiting for them.
    pub(super) fn begin_to_make(&mut self, spec: &PythonSpec, count: usize) -> Result<(), Fault> {
        let request = spec.request();
        (0..count).try_for_each(|_| self.send(0, &request))
    }

    /// Waits for `count` environments, and shares memory for their numbers.
    pub(super) fn finish_making(&mut self, count: usize) -> Result<Vec<Description>, Fault> {
        let deadline = Instant::now() + START_TIMEOUT.max(self.timeout);
        let mut descriptions = Vec::new();
        for _ in 0..count {
            let (value, _) = self.answer(deadline, "making the environment")?;
            let description = serde_json::from_value(value);
            descriptions.push(description.map_err(|error| self.confused(&error.to_string()))?);
        }
        let mut start = WORDS;
        for description in &descriptions {
            let description: &Description = description;
            let (space, action) = (description.observation_space(), description.action_space());
            let is_bytes = matches!(space, Space::Box { dtype: Dtype::U8, .. });
            let (layout, next) = Layout::at(start, action.len(), space.len(), is_bytes);
            self.layouts.push(layout);
            start = next;
        }
        let memory =
            Memory::new(start).map_err(|error| self.end(format!("no memory can be shared with it: {error}")))?;
        let request = json!({
            "do": "map",
            "file": memory.path(),
            "size": memory.size(),
            "layouts": self.layouts,
            "words": HAS_WORDS,
            "polls": self.polls,
        });
        self.ask(0, &request, "sharing memory")?;
        self.memory = Some(memory);
        Ok(descriptions)
    }

    /// Starts an episode and writes its first observation. With `generator`, the environment's generator has this state
    /// first.
    pub(super) fn reset(
        &mut self,
        env: u16,
        seed: Option<u64>,
        generator: Option<&str>,
        obs: &mut [f32],
    ) -> Result<(), Fault> {
        if seed.is_none() && generator.is_none() {
            self.act(Request::Reset(env), "reset")?;
        } else {
            let request = json!({"do": "reset", "seed": seed, "generator": generator});
            self.ask(env, &request, "reset")?;
        }
        let memory = self.memory.as_ref().ok_or_else(not_shared)?;
        memory.read_observation(&self.layouts[usize::from(env)], obs);
        Ok(())
    }

    /// The state that the environment's generator had before the last reset without a seed, if it has one of Gymnasium's.
    pub(super) fn generator(&mut self, env: u16) -> Result<Option<String>, Fault> {
        let (answer, _) = self.ask(env, &json!({"do": "generator"}), "generator")?;
        Ok(answer["generator"].as_str().map(str::to_string))
    }

    /// Makes a step and writes the observation.
    pub(super) fn step(&mut self, env: u16, action: &[f32], obs: &mut [f32]) -> Result<Outcome, Fault> {
        let layout = self.layouts[usize::from(env)];
        let memory = self.memory.as_mut().ok_or_else(not_shared)?;
        memory.write_action(&layout, action);
        self.act(Request::Step(env), "step")?;
        let memory = self.memory.as_ref().ok_or_else(not_shared)?;
        memory.read_observation(&layout, obs);
        Ok(memory.read_end(&layout))
    }

    /// Asks what steps earn with other goals: `data` as `Goals.outcomes` in `goals.py` takes it, and its answer.
    pub(super) fn goal_outcomes(&mut self, env: u16, count: usize, data: &[u8]) -> Result<Vec<u8>, Fault> {
        let request = json!({"do": "goals", "count": count, "data": data.len()});
        self.send(env, &request)?;
        self.write(data)?;
        let (_, answer) = self.answer(Instant::now() + self.timeout, "compute_reward")?;
        Ok(answer)
    }

    /// Has the worker make a step or a reset, and waits until it has ended.
    fn act(&mut self, request: Request, doing: &str) -> Result<(), Fault> {
        self.check_alive()?;
        let memory = self.memory.as_ref().ok_or_else(not_shared)?;
        let must_wake = memory.announce(request);
        if must_wake || !HAS_WORDS {
            let (what, env) = match request {
                Request::Reset(env) => (RESET, env),
                Request::Step(env) => (STEP, env),
                Request::InPipe => (JSON, 0),
            };
            self.write(&header(what, env, 0))?;
        }
        let began = Instant::now();
        let deadline = began + self.timeout;
        let mut ended = None;
        while HAS_WORDS && ended.is_none() && self.polls && !self.is_slow && began.elapsed() < SPIN {
            ended = self.ended();
            (0..PAUSES).for_each(|_| std::hint::spin_loop());
        }
        if ended.is_none() {
            self.set_sleeping(true);
            ended = Some(self.sleep_until_ended(deadline, doing)?);
            self.set_sleeping(false);
        }
        self.is_slow = began.elapsed() > SPIN;
        match ended {
            Some(Ended::Badly) => self.answer(deadline, doing).map(drop),
            _ => Ok(()),
        }
    }

    fn sleep_until_ended(&mut self, deadline: Instant, doing: &str) -> Result<Ended, Fault> {
        let began = Instant::now();
        // First, what woke the last sleep in vain is read, so that it does not pile up.
        let mut longest = Duration::ZERO;
        loop {
            if self.is_readable_within(longest, began, deadline, doing)? {
                let mut header = [0; HEADER];
                self.read(&mut header, deadline, doing)?;
                match header[0] {
                    STEPPED if HAS_WORDS => {}
                    STEPPED => return Ok(Ended::Well),
                    _ => return self.rest(header, deadline, doing).map(|_| Ended::Well),
                }
            }
            if let Some(ended) = self.ended().filter(|_| HAS_WORDS) {
                return Ok(ended);
            }
            longest = LOOK;
        }
    }

    fn ended(&self) -> Option<Ended> {
        self.memory.as_ref().and_then(Memory::ended)
    }

    fn set_sleeping(&self, sleeps: bool) {
        if let Some(memory) = &self.memory {
            memory.set_sleeping(sleeps);
        }
    }

    /// A picture of the environment: width, height, and its bytes.
    pub(super) fn render(&mut self, env: u16) -> Result<(u32, u32, Vec<u8>), Fault> {
        let (answer, rgb) = self.ask(env, &json!({"do": "render"}), "render")?;
        let side = |key: &str| {
            answer[key]
                .as_u64()
                .and_then(|side| u32::try_from(side).ok())
                .unwrap_or(0)
        };
        Ok((side("width"), side("height"), rgb))
    }

    fn ask(&mut self, env: u16, request: &Value, doing: &str) -> Result<(Value, Vec<u8>), Fault> {
        self.send(env, request)?;
        self.answer(Instant::now() + self.timeout, doing)
    }

    fn send(&mut self, env: u16, request: &Value) -> Result<(), Fault> {
        self.check_alive()?;
        let text = request.to_string();
        self.write(&[&header(JSON, env, text.len())[..], text.as_bytes()].concat())?;
        // A worker that sleeps was woken by the pipe.
        self.memory.as_ref().map(|memory| memory.announce(Request::InPipe));
        Ok(())
    }

    fn write(&mut self, message: &[u8]) -> Result<(), Fault> {
        self.requests.write_all(message).map_err(|_| self.ended_itself())
    }

    fn check_alive(&self) -> Result<(), Fault> {
        self.gone.as_ref().map_or(Ok(()), |why| Err(Fault::Gone(why.clone())))
    }

    /// Waits for an answer, and reads it.
    fn answer(&mut self, deadline: Instant, doing: &str) -> Result<(Value, Vec<u8>), Fault> {
        let mut header = [0; HEADER];
        self.read(&mut header, deadline, doing)?;
        // The end of an earlier step, which the words told before.
        while header[0] == STEPPED {
            self.read(&mut header, deadline, doing)?;
        }
        self.rest(header, deadline, doing)
    }

    /// Reads the rest of an answer.
    fn rest(&mut self, header: [u8; HEADER], deadline: Instant, doing: &str) -> Result<(Value, Vec<u8>), Fault> {
        let length = u32::from_ne_bytes([header[4], header[5], header[6], header[7]]) as usize;
        if ![DONE, FAILED].contains(&header[0]) || length > LONGEST_ANSWER {
            return Err(self.confused(&format!("its answer begins with {header:?}")));
        }
        let mut text = vec![0; length];
        self.read(&mut text, deadline, doing)?;
        let answer: Value = serde_json::from_slice(&text).map_err(|error| self.confused(&error.to_string()))?;
        if header[0] == FAILED {
            return Err(Fault::Raised {
                option: answer["option"].as_str().map(str::to_string),
                message: answer["message"].as_str().unwrap_or_default().to_string(),
            });
        }
        let length = answer["data"].as_u64().unwrap_or(0) as usize;
        if length > LONGEST_ANSWER {
            return Err(self.confused(&format!("it announces {length} bytes")));
        }
        let mut data = vec![0; length];
        self.read(&mut data, deadline, doing)?;
        Ok((answer, data))
    }

    /// Fills the buffer, and notices when the worker ends or takes too long.
    fn read(&mut self, buffer: &mut [u8], deadline: Instant, doing: &str) -> Result<(), Fault> {
        let (mut filled, began) = (0, Instant::now());
        let spin = if self.is_slow || !self.polls {
            Duration::ZERO
        } else {
            SPIN
        };
        while filled < buffer.len() {
            let longest = if began.elapsed() < spin { Duration::ZERO } else { LOOK };
            if self.is_readable_within(longest, began, deadline, doing)? {
                match self.answers.read(&mut buffer[filled..]) {
                    Ok(0) => return Err(self.ended_itself()),
                    Ok(count) => filled += count,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(_) => return Err(self.ended_itself()),
                }
            }
        }
        self.is_slow = began.elapsed() > SPIN;
        Ok(())
    }

    /// Waits so long for an answer in the pipe, and notices when the worker has ended or `deadline` has passed.
    fn is_readable_within(
        &mut self,
        longest: Duration,
        began: Instant,
        deadline: Instant,
        doing: &str,
    ) -> Result<bool, Fault> {
        if longest.is_zero() {
            return Ok(self.is_readable(longest));
        }
        if self.is_readable(longest.min(deadline.saturating_duration_since(Instant::now()))) {
            return Ok(true);
        }
        // A process that an environment started may hold the pipe open.
        if self.status().is_some() && !self.is_readable(Duration::ZERO) {
            return Err(self.ended_itself());
        }
        if Instant::now() >= deadline {
            let waited = began.elapsed().as_secs_f64();
            return Err(self.end(format!(
                "{doing} has not ended after {waited:.1} s, so its process was ended; env.step_timeout_s is the time that a \
                 step may take"
            )));
        }
        Ok(false)
    }

    fn is_readable(&self, wait: Duration) -> bool {
        let timeout = Timespec {
            tv_sec: wait.as_secs() as i64,
            tv_nsec: i64::from(wait.subsec_nanos()),
        };
        let mut pipes = [PollFd::new(&self.answers, PollFlags::IN)];
        // An interrupted call is repeated by the caller.
        poll(&mut pipes, Some(&timeout)).is_ok_and(|ready| ready > 0)
    }

    #[cold]
    fn confused(&mut self, problem: &str) -> Fault {
        self.end(format!("its process cannot be understood: {problem}"))
    }

    /// How the process ended, if it did. It still has to be waited for, so that nothing else gets its number.
    fn status(&self) -> Option<WaitIdStatus> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        waitid(WaitId::Pid(Pid::from_child(&self.child)), options)
            .ok()
            .flatten()
    }

    /// The worker has ended by itself.
    #[cold]
    fn ended_itself(&mut self) -> Fault {
        if let Some(why) = &self.gone {
            return Fault::Gone(why.clone());
        }
        // The guardian ends right after the worker, and with its status.
        let mut status = None;
        for _ in 0..100 {
            status = self.status();
            if status.is_some() {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let how = match status.map(|status| (status.exit_status(), status.terminating_signal())) {
            Some((Some(code), _)) if code > 128 => format!(" by signal {}", code - 128),
            Some((Some(code), _)) => format!(" with exit code {code}"),
            Some((None, Some(signal))) => format!(" by signal {signal}"),
            _ => String::new(),
        };
        let tail = self.output.tail();
        let printed = match tail.is_empty() {
            true => String::new(),
            false => format!("; the last lines that it printed:\n  {}", tail.join("\n  ")),
        };
        self.end(format!("its Python process ended{how}{printed}"))
    }

    /// Ends the worker and all that it started.
    fn end(&mut self, why: String) -> Fault {
        self.kill();
        self.gone = Some(why.clone());
        Fault::Gone(why)
    }

    fn kill(&mut self) {
        // As long as nobody has waited for the child, its number and its group are its own.
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        let _ = self.child.wait();
    }
}

impl Drop for Worker {
    /// Lets the environments close, and ends the process.
    fn drop(&mut self) {
        if self.gone.is_some() {
            return;
        }
        if self.memory.is_some() && self.send(0, &json!({"do": "close"})).is_ok() {
            // Whatever goes wrong, the process is ended.
            let _ = self.answer(Instant::now() + CLOSE_TIMEOUT, "closing");
        }
        self.kill();
    }
}

/// What, the number of the environment, and the length of the JSON behind it.
fn header(what: u8, env: u16, length: usize) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[0] = what;
    header[2..4].copy_from_slice(&env.to_ne_bytes());
    header[4..].copy_from_slice(&(length as u32).to_ne_bytes());
    header
}

#[cold]
fn not_shared() -> Fault {
    Fault::Gone("no memory is shared with its process".to_string())
}

const STEP: u8 = 0;
const JSON: u8 = 1;
const RESET: u8 = 2;
const STEPPED: u8 = 0;
const DONE: u8 = 1;
const FAILED: u8 = 2;
