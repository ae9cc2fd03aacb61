"""The Fourier policy, derived in double precision: the head alone, and one full SAC update with it.

Density: Gillman et al. 2025 (arXiv 2410.22269); gradient of a drawn action: Figurnov et al. 2018 (arXiv 1805.08498).
Everything is done the long way: the autocorrelation in loops over complex numbers, the density as the sum of waves, the
quantile by a hundred bisections, the greatest density by a fine grid and golden sections. The gradient of the action is
checked against finite differences of the quantile before anything is printed.

Run with torch 2.11.0: python generate.py head > head.json; python generate.py update > update.json
"""

import json
import math
import pathlib
import sys

import torch

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
from derivation import ACT, BATCH, OBS, Case, f32, forward, mlp, trailing, values  # noqa: E402

N, SHARE, BASE, LEAST_POWER = 3, 0.05, 0.7, 1e-6


def waves(outputs):
    """[B, A * 2 (N + 1)] to complex w, [B, A, N]."""
    parts = outputs.view(outputs.shape[0], -1, 2, N + 1)
    a = torch.complex(parts[:, :, 0], parts[:, :, 1])
    a = torch.cat([a[..., :1] + BASE, a[..., 1:]], dim=-1)
    c = []
    for k in range(N + 1):
        c.append(sum(a[..., l].conj() * a[..., l + k] for l in range(N + 1 - k)))
    return torch.stack([(1 - SHARE) * c[k] / (c[0].real + LEAST_POWER) for k in range(1, N + 1)], dim=-1)


def density(w, z):
    return 0.5 + sum((w[..., k - 1] * torch.exp(1j * math.pi * k * z)).real for k in range(1, N + 1))


def cumulative(w, z):
    total = (z + 1) / 2
    for k in range(1, N + 1):
        total = total + (w[..., k - 1] * (torch.exp(1j * math.pi * k * z) - (-1) ** k) / (1j * math.pi * k)).real
    return total


def quantile(w, u):
    low, high = -torch.ones_like(u), torch.ones_like(u)
    for _ in range(100):
        middle = (low + high) / 2
        is_below = cumulative(w, middle) < u
        low, high = torch.where(is_below, middle, low), torch.where(is_below, high, middle)
    return (low + high) / 2


class Implicit(torch.autograd.Function):
    """The value z; the derivative with respect to F(z; theta), z fixed, is -1 / p(z)."""

    @staticmethod
    def forward(ctx, z, fixed_cumulative, p):
        ctx.save_for_backward(p)
        return z.clone()

    @staticmethod
    def backward(ctx, gradient):
        (p,) = ctx.saved_tensors
        return None, -gradient / p, None


def draw(outputs, u):
    w = waves(outputs)
    with torch.no_grad():
        z = quantile(w, u)
        p = density(w, z)
    action = Implicit.apply(z, cumulative(w, z), p)
    return action, density(w, action).log().sum(dim=1)


def check_gradients(outputs, u):
    """The whole derivative of action and log-density, against central differences in which u is what stays."""
    w = waves(outputs)
    grid = torch.linspace(-1, 1, 20001)
    assert (density(w[..., None, :], grid) > SHARE / 2 - 1e-12).all()
    edge = torch.ones_like(u)
    assert torch.allclose(cumulative(w, edge), edge) and torch.allclose(cumulative(w, -edge), 0 * edge)
    weights = torch.arange(1.0, ACT + 1)
    parameters = outputs.clone().requires_grad_()
    action, log_prob = draw(parameters, u)
    ((action * weights).sum() + log_prob.sum()).backward()

    def value(at):
        w = waves(at)
        z = quantile(w, u)
        return ((z * weights).sum() + density(w, z).log().sum()).item()

    step = 1e-6
    for index in range(outputs.shape[1]):
        moved = torch.zeros_like(outputs)
        moved[:, index] = step
        slope = (value(outputs + moved) - value(outputs - moved)) / (2 * step)
        found = parameters.grad[:, index].sum().item()
        assert abs(slope - found) < 1e-5 * max(1.0, abs(found)), (index, slope, found)
    return action, log_prob, parameters.grad


def greatest(outputs):
    """Where the density of each coordinate is greatest."""
    actions = []
    grid = torch.linspace(-1, 1, 2001)[:-1]
    for w in waves(outputs)[0]:

        def at(z):
            return density(w, torch.as_tensor(z)).item()

        start = max(grid.tolist(), key=at)
        low, high = start - 1e-3, start + 1e-3
        ratio = (math.sqrt(5) - 1) / 2
        for _ in range(60):
            left, right = high - ratio * (high - low), low + ratio * (high - low)
            low, high = (low, right) if at(left) > at(right) else (left, high)
        z = (low + high) / 2
        actions.append(z + 2 if z < -1 else z)
    return actions


def head():
    torch.manual_seed(20250422)
    cases = []
    for scale in (0.0, 0.05, 0.5, 1.0, 3.0, 30.0):
        outputs = f32(torch.randn(1, ACT * 2 * (N + 1)) * scale)
        u = f32(torch.rand(1, ACT))
        action, log_prob, gradient = check_gradients(outputs, u)
        cases.append(
            {
                "inputs": outputs.flatten().tolist(),
                "noise": u.flatten().tolist(),
                "action": action.flatten().tolist(),
                "log_prob": log_prob.item(),
                "gradient": gradient.flatten().tolist(),
                # A flat density has no greatest point.
                "mode": greatest(outputs) if scale > 0 else None,
            }
        )
    print(json.dumps(cases, indent=1))


class FourierCase(Case):
    def __init__(self, seed):
        super().__init__(seed)
        self.policy = mlp(OBS, ACT * 2 * (N + 1))

    def draw(self, observation):
        u = f32(torch.rand(BATCH, ACT))
        self.drawn += u.flatten().tolist()
        return draw(forward(self.policy, observation), u)


def update():
    case = FourierCase(20241030)
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
    case.moments["policy/adam.first"] = 0.1 * torch.cat([p.grad.flatten() for p in case.policy])
    case.follow(targets, critics)
    case.print(before, metrics, td_error)


{"head": head, "update": update}[sys.argv[1]]()
