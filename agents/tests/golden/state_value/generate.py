"""One full update of SAC's first version (arXiv 1801.01290): equations 5 and 6 (V), 7 to 9 (Q), then actor and target.

V learns from the smaller of the two Q's at a fresh action, less alpha log pi; the Q's from V's target.

Run with torch 2.11.0: python generate.py > data.json
"""

import pathlib
import sys

import torch

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
from derivation import ACT, OBS, Case, mlp, trailing, values  # noqa: E402

case = Case(20180104)
members = [mlp(OBS + ACT, 1) for _ in range(2)]
value = [mlp(OBS, 1)]
value_target = trailing(value)
case.networks = {"critic": members, "value": value, "value_target": value_target}
before = case.state()

with torch.no_grad():
    fresh, log_prob = case.draw(case.obs)
    soft_value = values(members, case.obs, fresh)[..., 0].min(dim=0).values - case.alpha * log_prob
v = values(value, case.obs)[0, :, 0]
value_loss = (case.weight * 0.5 * (v - soft_value) ** 2).mean()
case.step(value_loss, value, "value")

with torch.no_grad():
    y = case.reward + case.discount * values(value_target, case.next_obs)[0, :, 0]
q = values(members, case.obs, case.action)[..., 0]
loss = (case.weight * 0.5 * (q - y) ** 2).mean(dim=1).sum()
metrics = {
    "train/value_loss": value_loss.item(),
    "train/value_mean": v.mean().item(),
    "train/critic_loss": loss.item(),
    "train/q_mean": q.mean().item(),
    "train/target_mean": y.mean().item(),
}
td_error = (q - y).abs().mean(dim=0).detach()
case.step(loss, members, "critic")
metrics |= case.finish(lambda a: values(members, case.obs, a)[..., 0].min(dim=0).values)
case.follow(value_target, value)
case.print(before, metrics, td_error)
