"""Log-density of a squashed Gaussian and its gradients, in double precision from the definition.

a = tanh(u), u = mean + exp(log_std) * noise; log pi(a) = sum_j log N(u_j; mean_j, std_j) - log(1 - tanh(u_j)^2).
The derivative term is evaluated with 60 decimal digits, so that the far tail is exact too. Haarnoja et al. 2018
(arXiv 1801.01290), appendix C. Run: python generate.py > data.json (needs mpmath and torch 2.11.0).
"""

import json

import mpmath
import torch

mpmath.mp.dps = 60
torch.manual_seed(1801)
torch.set_default_dtype(torch.float64)

rows = [([0.3, -0.7], [-0.5, 0.2], [1.2, -0.4]), ([2.5, -6.0], [0.4, -1.0], [0.6, -1.5]), ([9.0, 0.0], [-20.0, 2.0], [0.0, 2.5])]
rows += [
    (torch.randn(2).tolist(), (0.5 * torch.randn(2) - 0.5).tolist(), torch.randn(2).tolist()) for _ in range(5)
]
cases = []
for mean, log_std, noise in rows:
    mean, log_std, noise = (torch.tensor(x).float().double().tolist() for x in (mean, log_std, noise))
    log_prob, d_mean, d_log_std = mpmath.mpf(0), [], []
    for m, s, e in zip(mean, log_std, noise):
        m, s, e = map(mpmath.mpf, (m, s, e))
        u = m + mpmath.e**s * e
        log_prob += -e**2 / 2 - s - mpmath.log(2 * mpmath.pi) / 2 - mpmath.log(1 - mpmath.tanh(u) ** 2)
        # With the noise held fixed, only the last term and -log_std move: d/du of -log(1 - tanh(u)^2) is 2 tanh(u).
        d_mean.append(float(2 * mpmath.tanh(u)))
        d_log_std.append(float(-1 + 2 * mpmath.tanh(u) * mpmath.e**s * e))
    cases.append(
        {"mean": mean, "log_std": log_std, "noise": noise, "log_prob": float(log_prob), "d_mean": d_mean, "d_log_std": d_log_std}
    )
# An independent check of the closed-form gradients, where the naive expression is well conditioned.
for case in cases[3:]:
    mean, log_std = (torch.tensor(case[key], requires_grad=True) for key in ("mean", "log_std"))
    u = mean + log_std.exp() * torch.tensor(case["noise"])
    value = (torch.distributions.Normal(mean, log_std.exp()).log_prob(u) - torch.log(1 - torch.tanh(u) ** 2)).sum()
    value.backward()
    assert abs(value.item() - case["log_prob"]) < 1e-9
    assert torch.allclose(mean.grad, torch.tensor(case["d_mean"])) and torch.allclose(log_std.grad, torch.tensor(case["d_log_std"]))
print(json.dumps(cases, indent=1))
