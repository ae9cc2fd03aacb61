//! Calls into MuJoCo that return its warnings and fatal errors as values.
//!
//! MuJoCo has one message handler per process. The default handler writes warnings to the terminal and to a file in the
//! current folder, and ends the process on an error. Our handler records both for the thread that is inside [`run`],
//! and unwinds out of a call with an error, where MuJoCo's Python bindings use `longjmp`. Messages from any other use
//! of MuJoCo in the process go to the previous handler.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, OnceLock};

use mujoco_rs::mujoco_c::{mjData, mjLogMessage, mjModel, mju_setLogHandler};
use mujoco_rs::wrappers::mj_data::MjData;
use mujoco_rs::wrappers::mj_logging::MjtLogLevel;
use mujoco_rs::wrappers::mj_model::MjModel;

/// The state of one simulation, with a shared model.
pub type Data = MjData<Arc<MjModel>>;

/// MuJoCo's functions, declared with the ABI through which our handler may unwind.
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

/// A function of MuJoCo that [`run`] calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// `mj_resetData`
    Reset,
    /// `mj_forward`
    Forward,
    /// `mj_kinematics`: positions of bodies and geoms.
    Kinematics,
    /// `mj_step`, this many times.
    Step(u32),
    /// `mj_rnePostConstraint`: contact forces of each body.
    ContactForces,
}

/// The call into MuJoCo that a thread is in. It decides what the handler does with messages.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Activity {
    /// No call of this module.
    None,
    /// A model is being compiled. The call itself returns errors; other messages are dropped.
    Compiling,
    /// A simulation is running.
    Simulating,
}

/// The payload with which the handler unwinds out of a call.
struct FatalError;

thread_local! {
    static ACTIVITY: Cell<Activity> = const { Cell::new(Activity::None) };
    /// The first message of the running call, if there was one.
    static MESSAGE: RefCell<Option<String>> = const { RefCell::new(None) };
}

type Handler = Option<unsafe extern "C" fn(*const mjLogMessage)>;
static PREVIOUS: OnceLock<Handler> = OnceLock::new();

/// Installs the handler on the first call.
fn install_handler() {
    PREVIOUS.get_or_init(|| {
        let unwinding: unsafe extern "C-unwind" fn(*const mjLogMessage) = handle;
        // SAFETY: both are pointers to functions of the same signature. MuJoCo stores this one and calls it only from
        // its own functions. It unwinds only while a function of `unwinding` is running, whose frames may be unwound.
        // The write to MuJoCo's global variable happens once, before this crate's first use of MuJoCo.
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
    // SAFETY: MuJoCo passes a valid message that outlives this call.
    let (level, subject) = unsafe { ((*message).level(), (*message).subject()) };
    let text = subject
        .lines()
        .next()
        .unwrap_or_default()
        .trim_end_matches('.')
        .to_string();
    let fatal = level == MjtLogLevel::mjLOG_ERROR;
    match ACTIVITY.get() {
        Activity::Simulating if fatal => {
            MESSAGE.set(Some(text));
            resume_unwind(Box::new(FatalError));
        }
        Activity::Simulating if level == MjtLogLevel::mjLOG_WARNING => {
            MESSAGE.with_borrow_mut(|first| {
                first.get_or_insert(text);
            });
        }
        Activity::Simulating => {}
        Activity::Compiling if !fatal => {}
        Activity::Compiling | Activity::None => {
            if let Some(Some(previous)) = PREVIOUS.get() {
                // SAFETY: this handler came from MuJoCo, and the message is valid.
                unsafe { previous(message) }
            }
        }
    }
}

/// Runs `work`, which compiles a model. MuJoCo's warnings do not reach the terminal or the current folder.
pub(super) fn compile<T>(work: impl FnOnce() -> T) -> T {
    install_handler();
    ACTIVITY.set(Activity::Compiling);
    let result = work();
    ACTIVITY.set(Activity::None);
    result
}

/// Runs `calls` in order.
///
/// # Errors
/// MuJoCo's message for an error or a warning. The state is then unusable until a reset.
pub(super) fn run(data: &mut Data, calls: &[Call]) -> Result<(), String> {
    let model: *const mjModel = data.model().ffi();
    // SAFETY: the pointer is used only for calls that keep the invariants of the state.
    let state: *mut mjData = unsafe { data.ffi_mut() };
    ACTIVITY.set(Activity::Simulating);
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        for call in calls {
            // SAFETY: `state` was made for `model`, both are alive, and `data` is borrowed exclusively.
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
    ACTIVITY.set(Activity::None);
    let warned = data.warning().iter().any(|warning| warning.number > 0);
    match outcome {
        Ok(()) if !warned => Ok(()),
        Ok(()) => Err(MESSAGE
            .take()
            .unwrap_or_else(|| "a warning that the simulation is unstable".to_string())),
        Err(thrown) if thrown.is::<FatalError>() => Err(MESSAGE.take().unwrap_or_default()),
        Err(panic) => resume_unwind(panic),
    }
}
