"""One full update of SAC with Gumbel-Softmax draws (Jang et al. 2016, arXiv 1611.01144), weighted rows.

The action is a pair, one of two and one of three, and enters the critics as two one-hot vectors side by side. Draws are
hard with the gradient of the softmax at temperature 0.7; the entropy is exact, a sum over both positions.

Run with torch 2.11.0: python generate.py > data.json
"""

import math
import pathlib
import sys

import torch

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
from derivation import BATCH, OBS, Case, forward, mlp, trailing, values  # noqa: E402

CHOICES = [2, 3]
SOFTMAX_TEMPERATURE = 0.7
TARGET_ENTROPY = 0.9 * math.log(math.prod(CHOICES))


class Hard(torch.autograd.Function):
    """The one-hot vector of the greatest number; gradients pass as if nothing had been done."""

    @staticmethod
    def forward(_, soft):
        return torch.nn.functional.one_hot(soft.argmax(dim=1), soft.shape[1]).double()

    @staticmethod
    def backward(_, gradient):
        return gradient


class Discrete(Case):
    def draw(self, observation):
        gumbel = -torch.log(-torch.log(self.uniform(BATCH, sum(CHOICES))))
        logits = forward(self.policy, observation)
        draws, log_prob = [], 0.0
        for part, noise in zip(logits.split(CHOICES, dim=1), gumbel.split(CHOICES, dim=1)):
            policy = torch.distributions.Categorical(logits=part)
            draws.append(Hard.apply(torch.softmax((policy.probs.log() + noise) / SOFTMAX_TEMPERATURE, dim=1)))
            log_prob = log_prob - policy.entropy()
        return torch.cat(draws, dim=1), log_prob


case = Discrete(20161103)
case.policy = mlp(OBS, sum(CHOICES))
case.action = torch.tensor([[0.0, 2.0], [1.0, 0.0], [1.0, 2.0], [0.0, 1.0]])
case.dims = {"positions": CHOICES}
taken = torch.cat([torch.nn.functional.one_hot(case.action[:, i].long(), n).double() for i, n in enumerate(CHOICES)], 1)
members = [mlp(OBS + sum(CHOICES), 1) for _ in range(2)]
targets = trailing(members)
case.networks = {"critic": members, "target": targets}
before = case.state()

with torch.no_grad():
    next_action, log_prob = case.draw(case.next_obs)
    next_q = values(targets, case.next_obs, next_action)[..., 0].min(dim=0).values
    y = case.reward + case.discount * (next_q - case.alpha * log_prob)
q = values(members, case.obs, taken)[..., 0]
loss = (case.weight * 0.5 * (q - y) ** 2).mean(dim=1).sum()
metrics = {
    "train/critic_loss": loss.item(),
    "train/q_mean": q.mean().item(),
    "train/target_mean": y.mean().item(),
}
td_error = (q - y).abs().mean(dim=0).detach()
case.step(loss, members, "critic")
metrics |= case.finish(lambda a: values(members, case.obs, a)[..., 0].min(dim=0).values, TARGET_ENTROPY)
case.moments["policy/adam.first"] = 0.1 * torch.cat([parameter.grad.flatten() for parameter in case.policy])
case.follow(targets, members)
case.print(before, metrics, td_error)
