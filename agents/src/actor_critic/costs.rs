//! Sizes of the parts of an agent: [`costs`].

use crate::{agent::Cost, nn::ParamBlock, update_rule::Learner};

/// Parameters and multiply-adds of each part of an agent.
pub(super) fn costs(learner: &Learner) -> Vec<Cost> {
    let cost = |part, parameters, multiply_adds| Cost {
        part,
        parameters,
        multiply_adds,
    };
    let of_encoder = |block: &ParamBlock| block.count_of("encoder.");
    let Learner { policy, critic, .. } = learner;
    let block = &policy.trainable.params;
    let (encoding, acting) = policy.multiply_adds();
    let (own, critics) = (of_encoder(block), of_encoder(critic.encoder_block()));
    let mut costs = Vec::new();
    if !policy.shares_encoder() {
        costs.push(cost("policy encoder", own, encoding));
    }
    costs.push(cost("policy", block.learned_count() - own, acting));
    costs.push(cost("critic encoder", critics, encoding)); // both encoders have the same spec
    let rest = critic.multiply_adds() - encoding;
    costs.push(cost("critic", critic.parameter_count() - critics, rest));
    if let Some((parameters, multiply_adds)) = policy.cost_of_optimist() {
        costs.push(cost("optimistic policy", parameters, multiply_adds));
    }
    costs
}
