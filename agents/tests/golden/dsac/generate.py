"""One full update of DSAC (arXiv 2001.02811; constants as in its authors' code), one member, td_bound 1.

The gradient of −log N(y; Q, sigma²) is written out with the additive constants, and handed to backward() directly.

Run with torch 2.11.0: python generate.py > data.json
"""

import pathlib
import sys

import torch
import torch.nn.functional as F

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
from derivation import ACT, BATCH, OBS, Case, mlp, trailing, values  # noqa: E402

BOUND, BIAS = 1.0, 0.1
case = Case(20200109)
members = [mlp(OBS + ACT, 2)]
targets = trailing(members)
case.networks = {"critic": members, "target": targets}
before = case.state()

with torch.no_grad():
    next_action, next_log_prob = case.draw(case.next_obs)
    next_mean, next_raw = values(targets, case.next_obs, next_action).unbind(-1)
    sample = next_mean + F.softplus(next_raw) * case.normal(1, BATCH).clamp(-3.0, 3.0)
    y = case.reward + case.discount * (sample[0] - case.alpha * next_log_prob)

q, raw = (x[0] for x in values(members, case.obs, case.action).unbind(-1))
sigma = F.softplus(raw)
delta, s = (y - q).detach(), sigma.detach()
d_q = -delta / (s**2 + BIAS)
d_sigma = (s**2 - delta.clamp(-BOUND, BOUND) ** 2) / (s**3 + BIAS)
loss = (case.weight * (d_q * q + d_sigma * sigma)).mean()
clipped = (delta.abs() > BOUND).double().mean()
assert 0.0 < clipped < 1.0, "some targets are clipped, and not all"
metrics = {
    "train/critic_loss": loss.item(),
    "train/q_mean": q.mean().item(),
    "train/sigma_mean": sigma.mean().item(),
    "train/target_clipped": clipped.item(),
    "train/target_mean": y.mean().item(),
}
case.step(loss, members, "critic")
metrics |= case.finish(lambda a: values(members, case.obs, a)[0, :, 0])
case.follow(targets, members)
case.print(before, metrics, delta.abs())
