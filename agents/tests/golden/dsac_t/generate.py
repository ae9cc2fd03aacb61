"""One full update of DSAC-T (arXiv 2310.05858; constants and weights as in its reference code), loss from argv: the
published one, or the revised one with either rule of sigma.

The loss is written out per member and row, with torch's Huber function spelled out; the running spread starts at a
given value, so that its average is at work. For the published loss the gradients are also taken from the logarithm of the
normal density itself, without the constants in the denominators, and compared.

Run with torch 2.11.0: for name in nll reference published; do python generate.py $name > $name.json; done
"""

import pathlib
import sys

import torch
import torch.nn.functional as F

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
from derivation import ACT, BATCH, OBS, TAU, Case, f32, mlp, trailing, values  # noqa: E402

RULE = {"nll": 1.0, "reference": 0.5, "published": None}[sys.argv[1]]
case = Case(20231009)
members = [mlp(OBS + ACT, 2) for _ in range(2)]
targets = trailing(members)
running = f32(torch.tensor([[0.35], [0.6]]))
case.networks = {"critic": members, "target": targets}
case.extra = {"running_std": running}
before = case.state()


def huber(x, delta=50.0):
    return torch.where(x.abs() <= delta, 0.5 * x**2, delta * (x.abs() - 0.5 * delta))


def published(q, sigma, y_q, y_b, m, bias=0.1):
    """The loss of November 2023 to July 2025, [B]."""
    at, s = q.detach(), sigma.detach()
    of_mean = -(y_q - at) / (s**2 + bias) * q
    of_std = -((at - y_b) ** 2 - s**2) / (s**3 + bias) * sigma
    return (m**2 + bias) * (of_mean + of_std)


def agrees_with_the_likelihood():
    """Without `bias`, the gradients are those of minus the log-likelihood of y_q for the mean, of y_b for the std."""
    q, sigma = torch.randn(7).requires_grad_(), (torch.rand(7) + 0.5).requires_grad_()
    y_q, y_b, m = torch.randn(7), torch.randn(7), torch.tensor(0.7)
    actual = torch.autograd.grad(published(q, sigma, y_q, y_b, m, bias=0.0).sum(), [q, sigma])
    normal = torch.distributions.Normal
    of_mean = -normal(q, sigma.detach()).log_prob(y_q).sum()
    of_std = -normal(q.detach(), sigma).log_prob(y_b).sum()
    expected = torch.autograd.grad(of_mean, q) + torch.autograd.grad(of_std, sigma)
    return all(torch.allclose(a, m**2 * e) for a, e in zip(actual, expected, strict=True))


with torch.no_grad():
    next_action, next_log_prob = case.draw(case.next_obs)
    next_mean, next_raw = values(targets, case.next_obs, next_action).unbind(-1)
    sample = next_mean + F.softplus(next_raw) * case.normal(2, BATCH).clamp(-3.0, 3.0)
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
    new_running.append(m)
    if RULE is None:
        loss = loss + (case.weight * published(q[i], sigma[i], y_q, q[i].detach() + delta, m)).mean()
        continue
    s = sigma[i].detach()
    rho = (m**2 / (s**2 + 0.1)).clamp(0.1, 10.0)
    h = RULE * delta**2 if RULE == 1.0 else huber(delta)
    row = rho * (huber(q[i] - y_q) + sigma[i] * (s**2 - h) / (s + 0.1))
    loss = loss + (case.weight * row).mean()
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
assert agrees_with_the_likelihood()
