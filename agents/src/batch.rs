//! What an update sees: [`Batch`]. Shapes are checked here and nowhere else.

use tch::{Kind, Tensor};

/// `B` transitions. All tensors are `f32` on the agent's device.
pub struct Batch {
    /// `[B, …]`: raw observation.
    pub obs: Tensor,
    /// `[B, A]`: normalised action.
    pub action: Tensor,
    /// `[B]`: discounted sum of raw rewards over the row's steps.
    pub reward: Tensor,
    /// `[B]`: γᵏ for a row of k steps, 0 where it ended in termination.
    pub discount: Tensor,
    /// `[B, …]`: the true observation after the row's last step.
    pub next_obs: Tensor,
    /// `[B]`: how much each row counts in the critics' loss; `None` where all count alike.
    pub weight: Option<Tensor>,
}

impl Batch {
    /// Puts a batch together.
    ///
    /// # Panics
    /// When shapes disagree: a bug in the replay.
    pub fn new(obs: Tensor, action: Tensor, reward: Tensor, discount: Tensor, next_obs: Tensor) -> Self {
        let size = obs.size()[0];
        assert!(size > 0, "a batch is not empty");
        assert_eq!(
            obs.size(),
            next_obs.size(),
            "observations before and after have one shape"
        );
        assert_eq!((action.dim(), action.size()[0]), (2, size), "actions are [B, A]");
        assert_eq!(
            (reward.size(), discount.size()),
            (vec![size], vec![size]),
            "rewards and discounts are [B]"
        );
        Batch {
            obs,
            action,
            reward,
            discount,
            next_obs,
            weight: None,
        }
    }

    /// The mean over all elements of `losses` `[…, B]`, each row counting as much as it should.
    pub fn mean(&self, losses: &Tensor) -> Tensor {
        match &self.weight {
            None => losses.mean(Kind::Float),
            Some(weight) => (losses * weight).mean(Kind::Float),
        }
    }

    /// B.
    pub fn size(&self) -> i64 {
        self.reward.size()[0]
    }
}
