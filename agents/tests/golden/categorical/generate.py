"""One full update of discrete SAC (Christodoulou 2019, arXiv 1910.07207), equations 10 to 12, weighted rows.

The action is a pair, one of two and one of three, enumerated as six combinations. Expectations are written as loops over
them, with probabilities from torch.distributions.

Run with torch 2.11.0: python generate.py > data.json
"""

import math
import pathlib
import sys

import torch

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
from derivation import BATCH, OBS, Case, forward, mlp, trailing, values  # noqa: E402

PAIRS = [(first, second) for first in range(2) for second in range(3)]
TARGET_ENTROPY = 0.9 * math.log(len(PAIRS))


class Discrete(Case):
    def draw(self, observation):
        self.uniform(BATCH, 1)  # handed over with every draw; only actions that are tried out need it
        policy = torch.distributions.Categorical(logits=forward(self.policy, observation))
        return policy.probs, -policy.entropy()


def expected(probabilities, value_of_action):
    return sum(probabilities[:, index] * value_of_action(index) for index in range(len(PAIRS)))


case = Discrete(20191016)
case.policy = mlp(OBS, len(PAIRS))
case.action = torch.tensor([[0.0, 2.0], [1.0, 0.0], [1.0, 2.0], [0.0, 1.0]])
case.dims = {"positions": [2, 3]}
members = [mlp(OBS, len(PAIRS)) for _ in range(2)]
targets = trailing(members)
case.networks = {"critic": members, "target": targets}
before = case.state()

with torch.no_grad():
    probabilities, log_prob = case.draw(case.next_obs)
    next_q = values(targets, case.next_obs)  # [E, B, 6]
    soft_value = expected(
        probabilities, lambda index: next_q[..., index].min(dim=0).values - case.alpha * probabilities[:, index].log()
    )
    y = case.reward + case.discount * soft_value
taken = [PAIRS.index(tuple(int(number) for number in row)) for row in case.action]
q = values(members, case.obs)[:, range(BATCH), taken]  # [E, B]
loss = (case.weight * 0.5 * (q - y) ** 2).mean(dim=1).sum()
metrics = {
    "train/critic_loss": loss.item(),
    "train/q_mean": q.mean().item(),
    "train/target_mean": y.mean().item(),
}
td_error = (q - y).abs().mean(dim=0).detach()
case.step(loss, members, "critic")


def actor_value(probabilities):
    q = values(members, case.obs).detach()
    return expected(probabilities, lambda index: q[..., index].min(dim=0).values)


metrics |= case.finish(actor_value, TARGET_ENTROPY)
case.moments["policy/adam.first"] = 0.1 * torch.cat([parameter.grad.flatten() for parameter in case.policy])
case.follow(targets, members)
case.print(before, metrics, td_error)
