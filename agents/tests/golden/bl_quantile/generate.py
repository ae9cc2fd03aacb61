"""One full update of TQC with band-limited targets: as ../quantile, but the pooled, sorted and truncated atoms are taken at
four points around the next action and averaged, the i-th smallest with the i-th smallest ("min_then_filter").

Run with torch 2.11.0: python generate.py > data.json
"""

import pathlib
import sys

import torch

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
from derivation import ACT, BATCH, OBS, Case, mlp, trailing, values  # noqa: E402

MEMBERS, QUANTILES, DROPPED = 3, 4, 1
BANDWIDTH, PAIRS = 0.4, 2  # wide, so that some points cross the bounds
KEPT = MEMBERS * (QUANTILES - DROPPED)
case = Case(20200622)
members = [mlp(OBS + ACT, QUANTILES) for _ in range(MEMBERS)]
targets = trailing(members)
case.networks = {"critic": members, "target": targets}
before = case.state()

with torch.no_grad():
    next_action, next_log_prob = case.draw(case.next_obs)
    points = case.around(next_action, BANDWIDTH, PAIRS)
    next_atoms = [values(targets, case.next_obs, point) for point in points]  # [E, B, K] each
    y = torch.empty(BATCH, KEPT)
    for b in range(BATCH):
        kept = sum(atoms[:, b].flatten().sort().values[:KEPT] for atoms in next_atoms) / len(points)
        y[b] = case.reward[b] + case.discount[b] * (kept - case.alpha * next_log_prob[b])

atoms = values(members, case.obs, case.action)
loss = 0.0
for n in range(MEMBERS):
    for b in range(BATCH):
        row = 0.0
        for m in range(QUANTILES):
            tau = (2 * m + 1) / (2 * QUANTILES)
            for i in range(KEPT):
                delta = y[b, i] - atoms[n, b, m]
                huber = 0.5 * delta**2 if delta.abs() <= 1.0 else delta.abs() - 0.5
                row = row + abs(tau - float(delta < 0.0)) * huber
        loss = loss + case.weight[b] * row / (QUANTILES * KEPT)
loss = loss / (MEMBERS * BATCH)
metrics = {
    "train/critic_loss": loss.item(),
    "train/q_mean": atoms.mean().item(),
    "train/sigma_mean": atoms.std(dim=2, unbiased=False).mean().item(),
    "train/target_mean": y.mean().item(),
}
td_error = (atoms.mean(dim=2) - y.mean(dim=1)).abs().mean(dim=0).detach()
case.step(loss, members, "critic")
metrics |= case.finish(lambda a: values(members, case.obs, a).mean(dim=(0, 2)))
case.follow(targets, members)
case.print(before, metrics, td_error)
