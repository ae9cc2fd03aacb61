"""A full update of SAC with BRO's second policy, which explores.

Our own derivation, in double precision. The equations are those of `agents/src/policy/optimist.rs`; the second policy makes
its step last, with the new critics and the new policy. Critics are scalar, of which there are two.

Run with torch 2.11.0: python generate.py > data.json
"""

import math
import pathlib
import sys

import torch

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
from derivation import ACT, BATCH, LR, OBS, Case, f32, forward, mlp, trailing, values  # noqa: E402

STD_FACTOR, KL_TARGET, DECAY, ADJUSTMENT_LR = 0.75, 0.05, 2.0, 1e-3
LOW, HIGH = -10.0, 7.5


def number(x):
    return torch.exp(LOW + 0.5 * (HIGH - LOW) * (1 + torch.tanh(x)))


class OptimistCase(Case):
    """With the network of the shift, and the two numbers that adjust it."""

    def __init__(self, seed):
        super().__init__(seed)
        self.optimist = mlp(OBS + ACT, ACT)
        self.optimism, self.kl_weight = (f32(torch.tensor([x])).requires_grad_() for x in (0.2, -0.1))

    def state(self):
        state = super().state()
        mine = {f"optimist/body.{i // 2}.{'bias' if i % 2 else 'weight'}": p for i, p in enumerate(self.optimist)}
        mine |= {"optimism/x": self.optimism, "kl_weight/x": self.kl_weight}
        for name, p in mine.items():
            state[name] = {"shape": list(p.shape), "data": p.detach().flatten().tolist()}
        return state

    def explore(self, critics):
        epsilon = self.normal(BATCH, ACT)
        with torch.no_grad():
            mean, log_std = forward(self.policy, self.obs).chunk(2, dim=1)
            std = log_std.clamp(-20.0, 2.0).exp()
            optimism, kl_weight = number(self.optimism), number(self.kl_weight)
        shifted = mean + forward(self.optimist, torch.cat([self.obs, mean], dim=1))
        divergence = torch.distributions.kl_divergence(
            torch.distributions.Normal(shifted, std), torch.distributions.Normal(mean, std)
        ).sum(dim=1)
        action = torch.tanh(shifted + STD_FACTOR * std * epsilon)
        first, second = values(critics, self.obs, action).squeeze(-1)
        upper = (first + second) / 2 + optimism * (first - second).abs() / 2
        loss = (kl_weight * divergence - upper).mean()
        weights, biases = self.optimist[::2], self.optimist[1::2]
        groups = [{"params": weights, "weight_decay": DECAY}, {"params": biases, "weight_decay": 0.0}]
        optimizer = torch.optim.AdamW(groups, lr=LR)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        self.moments["optimist/adam.first"] = 0.1 * torch.cat([p.grad.flatten() for p in self.optimist])
        excess = divergence.detach().mean() / ACT - KL_TARGET
        assert excess.abs() > 0.01, "the adjustments have hardly a gradient"
        for x, sign in ((self.optimism, 1.0), (self.kl_weight, -1.0)):
            adjuster = torch.optim.Adam([x], lr=ADJUSTMENT_LR, betas=(0.5, 0.999))
            adjuster.zero_grad()
            (sign * number(x) * excess).sum().backward()
            adjuster.step()
        self.moments["optimism/adam.first"] = 0.5 * self.optimism.grad
        self.moments["kl_weight/adam.first"] = 0.5 * self.kl_weight.grad
        return {
            "train/optimism": optimism.item(),
            "train/optimism_kl": divergence.mean().item() / ACT,
            "train/optimism_kl_weight": kl_weight.item(),
        }


def update():
    case = OptimistCase(20240526)
    critics = [mlp(OBS + ACT, 1) for _ in range(2)]
    targets = trailing(critics)
    case.networks = {"critic": critics, "target": targets}
    before = case.state()
    with torch.no_grad():
        next_action, next_log_prob = case.draw(case.next_obs)
        lowest = values(targets, case.next_obs, next_action).squeeze(-1).min(dim=0).values
        y = case.reward + case.discount * (lowest - case.alpha * next_log_prob)
    q = values(critics, case.obs, case.action).squeeze(-1)
    loss = sum(0.5 * (case.weight * (member - y) ** 2).mean() for member in q)
    metrics = {"train/critic_loss": loss.item(), "train/q_mean": q.mean().item(), "train/target_mean": y.mean().item()}
    td_error = (q - y).abs().mean(dim=0).detach()
    case.step(loss, critics, "critic")
    metrics |= case.finish(lambda a: values(critics, case.obs, a).squeeze(-1).min(dim=0).values)
    case.follow(targets, critics)
    metrics |= case.explore(critics)
    assert not any(math.isnan(x) for x in metrics.values())
    case.print(before, metrics, td_error)


update()
