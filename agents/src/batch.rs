//! A batch of transitions: [`Batch`]. Shapes are checked here and nowhere else.

use tch::{Kind, Tensor};

/// `B` transitions. All tensors are `f32` on the agent's device.
///
/// An augmented batch ([`crate::augmentation`]) has M copies of its observations and actions, and K copies of its next
/// observations. A copy is a block of B rows; the blocks follow one another. Batches from a replay have M = K = 1.
pub struct Batch {
    /// `[M·B, …]`: raw observation.
    pub obs: Tensor,
    /// `[M·B, A]`: normalised action.
    pub action: Tensor,
    /// `[B]`: discounted sum of raw rewards over the row's steps.
    pub reward: Tensor,
    /// `[B]`: γᵏ for a row of k steps, or 0 if the row ends in a termination.
    pub discount: Tensor,
    /// `[K·B, …]`: the true observation after the row's last step.
    pub next_obs: Tensor,
    /// `[B]`: discounted sum of the policy's entropies at the row's steps after the first, nats. `None` if returns are not
    /// soft, and where an agent has added them to the rewards.
    pub entropy: Option<Tensor>,
    /// `[B]`: weight of each row in the critics' loss; `None` if all weights are 1.
    pub weight: Option<Tensor>,
}

impl Batch {
    /// Makes a batch of unweighted rows.
    ///
    /// # Panics
    /// When the batch is empty or the shapes disagree.
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
            entropy: None,
            weight: None,
        }
    }

    /// A batch of zeros with the shapes of `other`, whose entropies are in its rewards.
    pub(crate) fn like(other: &Batch) -> Self {
        let like = |tensor: &Tensor| Tensor::zeros_like(tensor);
        Batch {
            obs: like(&other.obs),
            action: like(&other.action),
            reward: like(&other.reward),
            discount: like(&other.discount),
            next_obs: like(&other.next_obs),
            entropy: None,
            weight: other.weight.as_ref().map(like),
        }
    }

    /// Copies the values of `other`, a batch of the same shapes, in place.
    pub(crate) fn copy_from(&mut self, other: &Batch) {
        self.obs.copy_(&other.obs);
        self.action.copy_(&other.action);
        self.reward.copy_(&other.reward);
        self.discount.copy_(&other.discount);
        self.next_obs.copy_(&other.next_obs);
        if let (Some(weight), Some(other)) = (&mut self.weight, &other.weight) {
            weight.copy_(other);
        }
    }

    /// The mean over all elements of `losses` `[…, M·B]`, each multiplied by the weight of its row.
    pub fn mean(&self, losses: &Tensor) -> Tensor {
        match &self.weight {
            None => losses.mean(Kind::Float),
            Some(weight) => (losses * self.for_value_draws(weight)).mean(Kind::Float),
        }
    }

    /// B, the number of rows.
    pub fn size(&self) -> i64 {
        self.reward.size()[0]
    }

    /// M, the number of copies of each observation.
    pub fn value_draws(&self) -> i64 {
        self.obs.size()[0] / self.size()
    }

    /// K, the number of copies of each next observation.
    pub fn target_draws(&self) -> i64 {
        self.next_obs.size()[0] / self.size()
    }

    /// The first copy `[B, …]` of the observations.
    pub fn first_obs(&self) -> Tensor {
        match self.value_draws() {
            1 => self.obs.shallow_clone(),
            _ => self.obs.narrow(0, 0, self.size()),
        }
    }

    /// Repeats `values` `[…, B]`, one per row, for every copy of the observations: `[…, M·B]`.
    pub fn for_value_draws(&self, values: &Tensor) -> Tensor {
        match self.value_draws() {
            1 => values.shallow_clone(),
            draws => {
                let mut times = vec![1; values.dim()];
                times[values.dim() - 1] = draws;
                values.repeat(times)
            }
        }
    }

    /// The weights of the rows repeated for every copy of the observations, `[M·B]`, contiguous.
    pub(crate) fn value_draw_weights(&self) -> Option<Tensor> {
        let weight = self.weight.as_ref()?;
        Some(self.for_value_draws(weight).contiguous())
    }

    /// Averages `values` `[…, M·B]` over the copies of the observations: `[…, B]`.
    pub fn over_value_draws(&self, values: &Tensor) -> Tensor {
        averaged(values, self.value_draws())
    }

    /// Averages `values` `[…, K·B]` over the copies of the next observations: `[…, B]`.
    pub fn over_target_draws(&self, values: &Tensor) -> Tensor {
        averaged(values, self.target_draws())
    }
}

/// Averages `[…, draws·B]` over the copies: `[…, B]`.
fn averaged(values: &Tensor, draws: i64) -> Tensor {
    match draws {
        1 => values.shallow_clone(),
        draws => values
            .unflatten(-1, [draws, -1])
            .mean_dim([-2i64].as_slice(), false, Kind::Float),
    }
}
