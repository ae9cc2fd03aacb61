//! Entity tasks: observations are sets of tokens, of which only the marked ones matter.
//!
//! A point mass moves in a square arena with `N` entities that all follow the same law of motion. A few of them are
//! marked by a number in their token; nothing else distinguishes them, and their positions in the set change with every
//! episode. In `EntityReach-v0` the point mass must stay at the mean position of the marked entities; in `EntityTag-v0`
//! it must stay away from the nearest of them. The agent has to learn which tokens to attend to: in an average over all
//! tokens the marked ones count less, the smaller their fraction is. These tasks measure that effect.
//!
//! The policies [`EntityReach::oracle`] and [`EntityReach::averaging`], and their counterparts of [`EntityTag`], are
//! reference points. They steer in the same way, one towards the marked tokens and the other towards the average of
//! all. `docs/entity_tasks.md` has their scores.

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
