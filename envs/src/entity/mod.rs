//! Entity tasks: observations are sets of tokens, of which only the marked ones matter.
//!
//! A point mass lives in a square arena with `N` entities that all move by one law. A few of them are marked, by one
//! number of their token and by nothing else; where in the set they stand is drawn anew for every episode. In
//! `EntityReach-v0` the point mass must be where the marked entities are on average, in `EntityTag-v0` it must stay
//! away from the nearest of them. What is to be learned is whom to listen to: an encoder that averages all tokens sees
//! the less of the marked ones the smaller their fraction is, which is what these tasks measure.
//!
//! The policies [`EntityReach::oracle`] and [`EntityReach::averaging`] (and the same of [`EntityTag`]) bound what there
//! is to gain: they steer alike, but one looks at the marked tokens and the other at the average of all.
//! `docs/entity_tasks.md` has their scores.

mod arena;
mod picture;
mod reach;
mod tag;

use crate::EnvEntry;

pub use arena::{Arena, ArenaState, Body, Entity, TOKEN_WIDTH};
pub use reach::EntityReach;
pub use tag::EntityTag;

/// The tasks of this family.
pub(crate) fn entries() -> Vec<EnvEntry> {
    [reach::entry(), tag::entry()]
        .map(|entry| entry.with_family("entity"))
        .into()
}
