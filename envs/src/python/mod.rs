//! Environments written in Python: `PythonEnv`, a [`crate::Env`] that a worker process steps, or an interpreter in this
//! process ([`PythonObject`]).
//!
//! A worker is a Python process that holds one or several environments. It runs a script that this crate carries and
//! that needs the packages gymnasium and numpy only. Requests and answers go through two pipes; the numbers of a step, and
//! the words that announce a step and its end, are in memory that both processes share.

mod describe;
mod env;
mod goals;
mod memory;
mod object;
mod output;
mod picture;
mod pool;
mod record;
mod spec;
mod worker;

pub(crate) use describe::Description;
pub(crate) use env::PythonEnv;
pub use object::{HOSTED, PythonObject};
pub use spec::set_interpreter;
pub(crate) use spec::{PythonOptions, PythonSpec, is_python};
