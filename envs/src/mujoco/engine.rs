//! Calls into MuJoCo whose warnings and fatal errors come back as values.
//!
//! MuJoCo reports through one handler per process. By default a warning goes to the terminal and into a file in the
//! current folder, and an error ends the process. Ours notes both for the thread that is inside [`run`], and leaves an
//! erroneous call by unwinding, as MuJoCo's Python bindings leave it by a jump. Messages of any other use of MuJoCo in
//! the same process go to the handler that was there before.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, OnceLock};

use mujoco_rs::mujoco_c::{mjData, mjLogMessage, mjModel, mju_setLogHandler};
use mujoco_rs::wrappers::mj_data::MjData;
use mujoco_rs::wrappers::mj_logging::MjtLogLevel;
use mujoco_rs::wrappers::mj_model::MjModel;

/// The state of one simulation. The model behind it is shared.
pub type Data = MjData<Arc<MjModel>>;

/// MuJoCo's functions once more, under the ABI that lets our handler unwind through them.
mod unwinding {
    use super::{mjData, mjModel};

    unsafe extern "C-unwind" {
        pub(super) fn mj_step(model: *const mjModel, data: *mut mjData);
        pub(super) fn mj_kinematics(model: *const mjModel, data: *mut mjData);
        pub(super) fn mj_forward(model: *const mjModel, data: *mut mjData);
        pub(super) fn mj_rnePostConstraint(model: *const mjModel, data: *mut mjData);
        pub(super) fn mj_resetData(model: *const mjModel, data: *mut mjData);
    }
}

/// A call that simulates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// `mj_resetData`
    Reset,
    /// `mj_forward`
    Forward,
    /// `mj_kinematics`: where everything is.
    Kinematics,
    /// `mj_step`, this many times.
    Step(u32),
    /// `mj_rnePostConstraint`: the contact forces of each body.
    ContactForces,
}

/// What the handler does with messages of this thread.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Attention {
    /// Nothing of ours is running.
    Elsewhere,
    /// A model is being compiled: its errors come back from the call, its remarks are of no interest.
    Compiling,
    /// A simulation is running.
    Simulating,
}

/// What is thrown to leave an erroneous call.
struct FatalError;

thread_local! {
    static ATTENTION: Cell<Attention> = const { Cell::new(Attention::Elsewhere) };
    /// The first message of the call that is running, if there was one.
    static MESSAGE: RefCell<Option<String>> = const { RefCell::new(None) };
}

type Handler = Option<unsafe extern "C" fn(*const mjLogMessage)>;
static PREVIOUS: OnceLock<Handler> = OnceLock::new();

/// Installs the handler; afterwards does nothing.
fn listen() {
    PREVIOUS.get_or_init(|| {
        let unwinding: unsafe extern "C-unwind" fn(*const mjLogMessage) = handle;
        // SAFETY: both are pointers to functions of the same signature. MuJoCo stores this one and calls it from its
        // own functions only; it unwinds solely while one of `unwinding`'s functions is running, whose frames may be
        // unwound. The write to MuJoCo's global happens once, before this crate's first use of MuJoCo.
        unsafe {
            let handler = std::mem::transmute::<
                unsafe extern "C-unwind" fn(*const mjLogMessage),
                unsafe extern "C" fn(*const mjLogMessage),
            >(unwinding);
            mju_setLogHandler(Some(handler))
        }
    });
}

unsafe extern "C-unwind" fn handle(message: *const mjLogMessage) {
    let attention = ATTENTION.get();
    // SAFETY: MuJoCo hands over a valid message that outlives this call.
    let (level, subject) = unsafe { ((*message).level(), (*message).subject()) };
    let text = subject
        .lines()
        .next()
        .unwrap_or_default()
        .trim_end_matches('.')
        .to_string();
    let fatal = level == MjtLogLevel::mjLOG_ERROR;
    match attention {
        Attention::Simulating if fatal => {
            MESSAGE.set(Some(text));
            resume_unwind(Box::new(FatalError));
        }
        Attention::Simulating if level == MjtLogLevel::mjLOG_WARNING => {
            MESSAGE.with_borrow_mut(|first| {
                first.get_or_insert(text);
            });
        }
        Attention::Simulating => {}
        Attention::Compiling if !fatal => {}
        Attention::Compiling | Attention::Elsewhere => {
            if let Some(Some(previous)) = PREVIOUS.get() {
                // SAFETY: MuJoCo itself gave us this handler, and this is a message for it.
                unsafe { previous(message) }
            }
        }
    }
}

/// Runs `work`, which compiles a model, with MuJoCo's remarks kept from the terminal and the current folder.
pub(super) fn compile<T>(work: impl FnOnce() -> T) -> T {
    listen();
    ATTENTION.set(Attention::Compiling);
    let result = work();
    ATTENTION.set(Attention::Elsewhere);
    result
}

/// Runs `calls` in order.
///
/// # Errors
/// MuJoCo's message, when it gave up or warned. The state is then of no use until a reset.
pub(super) fn run(data: &mut Data, calls: &[Call]) -> Result<(), String> {
    let model: *const mjModel = data.model().ffi();
    // SAFETY: only calls that keep the state's invariants are made with it.
    let state: *mut mjData = unsafe { data.ffi_mut() };
    ATTENTION.set(Attention::Simulating);
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        for call in calls {
            // SAFETY: `state` was made for `model`, both are alive, and `data` is borrowed for us alone.
            unsafe {
                match call {
                    Call::Reset => unwinding::mj_resetData(model, state),
                    Call::Forward => unwinding::mj_forward(model, state),
                    Call::Kinematics => unwinding::mj_kinematics(model, state),
                    Call::Step(times) => (0..*times).for_each(|_| unwinding::mj_step(model, state)),
                    Call::ContactForces => unwinding::mj_rnePostConstraint(model, state),
                }
            }
        }
    }));
    ATTENTION.set(Attention::Elsewhere);
    let warned = data.warning().iter().any(|warning| warning.number > 0);
    match outcome {
        Ok(()) if !warned => Ok(()),
        Ok(()) => Err(MESSAGE
            .take()
            .unwrap_or_else(|| "it warned that the simulation is unstable".to_string())),
        Err(thrown) if thrown.is::<FatalError>() => Err(MESSAGE.take().unwrap_or_default()),
        Err(panic) => resume_unwind(panic),
    }
}
