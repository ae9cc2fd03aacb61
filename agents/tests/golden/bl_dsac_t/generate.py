"""One full update of DSAC-T with band-limited targets: as ../dsac_t with the rule nll, each target member replaced by the
normal distribution with the moments of its mixture over four points around the next action.

Run with torch 2.11.0: python generate.py > data.json
"""

import pathlib
import sys

import torch
import torch.nn.functional as F

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
from derivation import ACT, BATCH, OBS, TAU, Case, f32, mlp, trailing, values  # noqa: E402

BANDWIDTH, PAIRS = 0.4, 2  # wide, so that some points cross the bounds
case = Case(20200621)
members = [mlp(OBS + ACT, 2) for _ in range(2)]
targets = trailing(members)
running = f32(torch.tensor([[0.35], [0.6]]))
case.networks = {"critic": members, "target": targets}
case.extra = {"running_std": running}
before = case.state()


def huber(x, delta=50.0):
    return torch.where(x.abs() <= delta, 0.5 * x**2, delta * (x.abs() - 0.5 * delta))


with torch.no_grad():
    next_action, next_log_prob = case.draw(case.next_obs)
    first, second, points = 0.0, 0.0, case.around(next_action, BANDWIDTH, PAIRS)
    for point in points:
        point_mean, point_raw = values(targets, case.next_obs, point).unbind(-1)
        first = first + point_mean / len(points)
        second = second + (F.softplus(point_raw) ** 2 + point_mean**2) / len(points)
    next_mean, next_std = first, (second - first**2).sqrt()
    sample = next_mean + next_std * case.normal(2, BATCH).clamp(-3.0, 3.0)
    first_is_lower = next_mean[0] < next_mean[1]
    z_mean = torch.where(first_is_lower, next_mean[0], next_mean[1])
    z_sample = torch.where(first_is_lower, sample[0], sample[1])
    y_q = case.reward + case.discount * (z_mean - case.alpha * next_log_prob)
    y_z = case.reward + case.discount * (z_sample - case.alpha * next_log_prob)

q, raw = values(members, case.obs, case.action).unbind(-1)
sigma = F.softplus(raw)
loss, clipped, new_running = 0.0, [], []
for i in range(2):
    m = (1.0 - TAU) * running[i, 0] + TAU * sigma[i].detach().mean()
    delta = (y_z - q[i]).detach()
    clipped.append((delta.abs() > 3.0 * m).double())
    delta = torch.minimum(torch.maximum(delta, -3.0 * m), 3.0 * m)
    s = sigma[i].detach()
    rho = (m**2 / (s**2 + 0.1)).clamp(0.1, 10.0)
    row = rho * (huber(q[i] - y_q) + sigma[i] * (s**2 - delta**2) / (s + 0.1))
    loss = loss + (case.weight * row).mean()
    new_running.append(m)
assert 0.0 < torch.stack(clipped).mean() < 1.0, "some targets are clipped, and not all"
metrics = {
    "train/critic_loss": loss.item(),
    "train/q_mean": q.mean().item(),
    "train/sigma_mean": sigma.mean().item(),
    "train/sigma_running": torch.stack(new_running).mean().item(),
    "train/target_clipped": torch.stack(clipped).mean().item(),
    "train/target_mean": y_q.mean().item(),
}
td_error = (q - y_q).abs().mean(dim=0)
case.step(loss, members, "critic")
case.extra = {"running_std": torch.stack(new_running).unsqueeze(1)}
metrics |= case.finish(lambda a: values(members, case.obs, a)[..., 0].min(dim=0).values)
case.follow(targets, members)
case.print(before, metrics, td_error)
