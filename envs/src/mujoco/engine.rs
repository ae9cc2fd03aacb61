//! Calls into MuJoCo that return its warnings and fatal errors as values.
//!
//! MuJoCo has one message handler per process. The default handler writes warnings to the terminal and to a file in the
//! current folder, and ends the process on an error. For the thread that is inside [`run`], our handler drops warnings,
//! which [`run`] reads from the state, and unwinds out of a call with an error, where MuJoCo's Python bindings use
//! `longjmp`. Messages from any other use of MuJoCo in the process go to the previous handler.

use std::cell::{Cell, RefCell};
use std::ffi::{CStr, c_int};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, OnceLock};

use mujoco_rs::mujoco_c::{mj_jacSite, mjData, mjLogMessage, mjModel, mju_setLogHandler, mju_warningText};
use mujoco_rs::wrappers::mj_data::{MjData, MjtWarning};
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
    /// The message of the error that ended the running call.
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
    let fatal = level == MjtLogLevel::mjLOG_ERROR;
    match ACTIVITY.get() {
        Activity::Simulating if fatal => {
            MESSAGE.set(Some(first_line(subject)));
            resume_unwind(Box::new(FatalError));
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

/// The first line of a message, without a full stop at its end.
fn first_line(message: &str) -> String {
    message
        .lines()
        .next()
        .unwrap_or_default()
        .trim_end_matches('.')
        .to_string()
}

/// Runs `work`, which compiles a model. MuJoCo's warnings do not reach the terminal or the current folder.
pub(super) fn compile<T>(work: impl FnOnce() -> T) -> T {
    install_handler();
    ACTIVITY.set(Activity::Compiling);
    let result = work();
    ACTIVITY.set(Activity::None);
    result
}

/// Number of kinds of warnings.
const KINDS: usize = MjtWarning::mjNWARNING as usize;

/// MuJoCo's names of its kinds of warnings, in the order of their numbers.
const NAMES: [&str; KINDS] = [
    "mjWARN_INERTIA",
    "mjWARN_CONTACTFULL",
    "mjWARN_CNSTRFULL",
    "mjWARN_BADQPOS",
    "mjWARN_BADQVEL",
    "mjWARN_BADQACC",
    "mjWARN_BADCTRL",
];

/// The warnings of a [`run`], by kind.
#[derive(Clone, Copy, Default)]
pub(super) struct Warnings([Kind; KINDS]);

/// The warnings of one kind.
#[derive(Clone, Copy, Default)]
struct Kind {
    count: u64,
    /// MuJoCo's number of what the last one is about, such as a degree of freedom.
    info: usize,
}

impl Warnings {
    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(|kind| kind.count == 0)
    }

    /// MuJoCo's number and name of each kind that occurred, and how often it did.
    pub(super) fn kinds(&self) -> impl Iterator<Item = (usize, &'static str, u64)> {
        let all = self.0.iter().zip(NAMES).enumerate();
        all.filter(|(_, (kind, _))| kind.count > 0)
            .map(|(number, (kind, name))| (number, name, kind.count))
    }

    /// MuJoCo's text of the last warning of this kind.
    pub(super) fn text(&self, number: usize) -> String {
        // SAFETY: MuJoCo returns a string that ends with a zero and belongs to this thread until its next call.
        let text = unsafe { CStr::from_ptr(mju_warningText(number as c_int, self.0[number].info)) };
        first_line(&text.to_string_lossy())
    }

    /// Adds the warnings that MuJoCo has counted in `state` and sets its counters back. It counts them from zero again
    /// when it resets an unstable simulation, so that they must be read after every simulation step.
    ///
    /// # Safety
    /// `state` is valid, and no other reference to it is in use.
    unsafe fn take(&mut self, state: *mut mjData) {
        // SAFETY: as promised by the caller.
        let counters = unsafe { &mut (*state).warning };
        for (kind, counter) in self.0.iter_mut().zip(counters) {
            if counter.number != 0 {
                kind.count += u64::from(counter.number.unsigned_abs());
                kind.info = usize::try_from(counter.lastinfo).unwrap_or(0);
                counter.number = 0;
            }
        }
    }
}

/// Jacobians of a site's position and orientation, each `[3, nv]` in row-major order: `mj_jacSite`. Times the velocities
/// of the joints they are its velocity and angular velocity.
pub(super) fn site_jacobians(data: &Data, site: usize, along: &mut [f64], about: &mut [f64]) {
    let model = data.model().ffi();
    let len = 3 * model.nv as usize;
    assert!(
        along.len() == len && about.len() == len,
        "the Jacobians have room for {len} numbers"
    );
    assert!(site < model.nsite as usize, "the site is one of the model");
    // SAFETY: `data` was made for `model`, the site exists, and both buffers have the length that MuJoCo writes.
    unsafe { mj_jacSite(model, data.ffi(), along.as_mut_ptr(), about.as_mut_ptr(), site as c_int) }
}

/// Runs `calls` in order and returns the warnings. After a warning the state is what MuJoCo made of it: it resets an
/// unstable simulation itself and goes on.
///
/// # Errors
/// MuJoCo's message for an error. The state is then unusable until a reset.
pub(super) fn run(data: &mut Data, calls: &[Call]) -> Result<Warnings, String> {
    let model: *const mjModel = data.model().ffi();
    // SAFETY: the pointer is used only for calls that keep the invariants of the state.
    let state: *mut mjData = unsafe { data.ffi_mut() };
    ACTIVITY.set(Activity::Simulating);
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let mut warnings = Warnings::default();
        for call in calls {
            // SAFETY: `state` was made for `model`, both are alive, and `data` is borrowed exclusively.
            unsafe {
                match call {
                    Call::Reset => unwinding::mj_resetData(model, state),
                    Call::Forward => unwinding::mj_forward(model, state),
                    Call::Kinematics => unwinding::mj_kinematics(model, state),
                    Call::Step(times) => {
                        for _ in 0..*times {
                            unwinding::mj_step(model, state);
                            warnings.take(state);
                        }
                    }
                    Call::ContactForces => unwinding::mj_rnePostConstraint(model, state),
                }
                warnings.take(state);
            }
        }
        warnings
    }));
    ACTIVITY.set(Activity::None);
    outcome.map_err(|thrown| {
        if thrown.is::<FatalError>() {
            MESSAGE.take().unwrap_or_default()
        } else {
            resume_unwind(thrown)
        }
    })
}
