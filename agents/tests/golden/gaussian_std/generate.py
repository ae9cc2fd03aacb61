"""The squashed Gaussian with other sources and bounds of log sigma: the head alone, and one full SAC update each.

`independent`: log sigma is one learned number per coordinate, clamped. `tanh`: it is the network's, within
lo + (hi - lo) (1 + tanh x) / 2 (Yarats et al. 2019, arXiv 1910.01741). `independent_tanh`: both. `softplus`: sigma is
softplus(x) + 1e-5 (the code of SAC 2018b). `gsde`: log sigma is a learned matrix [F, A], of the weights of noise that is a
linear function of the features of the last hidden layer (Raffin et al. 2021, arXiv 2005.05719), and means are limited.

Run with torch 2.11.0, for each of the five: python generate.py NAME > NAME.json
"""

import contextlib
import io
import json
import pathlib
import sys

import torch

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
from derivation import ACT, BATCH, HIDDEN, OBS, Case, f32, forward, mlp, trailing, values  # noqa: E402

NAME = sys.argv[1]
IS_INDEPENDENT, IS_TANH = NAME.startswith("independent"), NAME.endswith("tanh")
IS_GSDE, LARGEST_MEAN = NAME == "gsde", 2.0
HAS_PARAMETER, SHAPE = IS_INDEPENDENT or IS_GSDE, (HIDDEN, ACT) if IS_GSDE else (ACT,)
LIMIT = LARGEST_MEAN if IS_GSDE else float("inf")
START = 2.0 if IS_GSDE else 0.0  # noise that is a sum over features would be large
LOW, HIGH = (-5.0, 2.0) if IS_TANH else (-20.0, 2.0)


def draw_gsde(outputs, parameter, epsilon):
    """The noise of an action is a sum of independent weights times features, so its variance is the sum of theirs."""
    mean, features = outputs[:, :ACT].clamp(-LARGEST_MEAN, LARGEST_MEAN), outputs[:, ACT:]
    std_of_weights = parameter.clamp(LOW, HIGH).exp()
    variance = sum((features[:, k : k + 1] * std_of_weights[k]) ** 2 for k in range(HIDDEN)) + 1e-6
    normal = torch.distributions.Normal(mean, variance.sqrt())
    u = mean + variance.sqrt() * epsilon
    a = torch.tanh(u)
    return a, (normal.log_prob(u) - torch.log(1.0 - a**2)).sum(dim=1)


def draw(outputs, parameter, epsilon):
    if IS_GSDE:
        return draw_gsde(outputs, parameter, epsilon)
    mean = outputs[:, :ACT]
    x = parameter.expand(outputs.shape[0], ACT) if IS_INDEPENDENT else outputs[:, ACT:]
    log_std = LOW + 0.5 * (HIGH - LOW) * (1 + torch.tanh(x)) if IS_TANH else x.clamp(LOW, HIGH)
    if NAME == "softplus":
        log_std = torch.log(torch.log(1.0 + torch.exp(x)) + 1e-5)
    u = mean + log_std.exp() * epsilon
    a = torch.tanh(u)
    normal = torch.distributions.Normal(mean, log_std.exp())
    return a, (normal.log_prob(u) - torch.log(1.0 - a**2)).sum(dim=1)


def head():
    torch.manual_seed(20191002)
    cases = []
    for scale in (0.3, 1.0, 1.5):
        width = ACT + HIDDEN if IS_GSDE else ACT if IS_INDEPENDENT else 2 * ACT
        outputs = f32(torch.randn(2, width) * scale).requires_grad_()
        if IS_GSDE and scale == 1.5:
            outputs.data[0, 0] = 1.5 * LARGEST_MEAN
        parameter = f32(torch.randn(*SHAPE) * scale - START).requires_grad_()
        epsilon = f32(torch.randn(2, ACT))
        action, log_prob = draw(outputs, parameter, epsilon)
        ((action * torch.arange(1.0, ACT + 1)).sum() + log_prob.sum()).backward()
        cases.append(
            {
                "inputs": outputs.flatten().tolist(),
                "log_std": parameter.flatten().tolist() if HAS_PARAMETER else [],
                "noise": epsilon.flatten().tolist(),
                "action": action.flatten().tolist(),
                "log_prob": log_prob.tolist(),
                "d_inputs": outputs.grad.flatten().tolist(),
                "d_log_std": parameter.grad.flatten().tolist() if HAS_PARAMETER else [],
                "mode": torch.tanh(outputs[:, :ACT].clamp(-LIMIT, LIMIT)).flatten().tolist(),
            }
        )
    return cases


class StdCase(Case):
    """The parameter, if there is one, lies behind the policy's layers."""

    def __init__(self, seed):
        super().__init__(seed)
        if HAS_PARAMETER:
            self.policy = mlp(OBS, ACT) + [f32(torch.randn(*SHAPE) * 0.5 - START).requires_grad_()]
        self.layers = 6

    def draw(self, observation):
        epsilon = self.normal(BATCH, ACT)
        outputs = forward(self.policy[: self.layers], observation)
        if IS_GSDE:
            features = torch.relu(forward(self.policy[: self.layers - 2], observation))
            outputs = torch.cat([outputs, features], dim=1)
        return draw(outputs, self.policy[-1], epsilon)

    def state(self):
        state = super().state()
        if HAS_PARAMETER:
            state["policy/log_std"] = state.pop("policy/body.3.weight")
        return state


def update():
    case = StdCase(20191003)
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
    # The parameter stands before the layers in the policy's block.
    block = case.policy[case.layers :] + case.policy[: case.layers]
    case.moments["policy/adam.first"] = 0.1 * torch.cat([p.grad.flatten() for p in block])
    case.follow(targets, critics)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        case.print(before, metrics, td_error)
    return json.loads(printed.getvalue())


print(json.dumps({"head": head(), "update": update()}, indent=1))
