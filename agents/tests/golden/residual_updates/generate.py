"""Full updates of agents with the bodies of SimBa, SimbaV2 and BRO, derived in PyTorch with its AdamW and its clipping of
gradients.

Our own derivation, in double precision. Sources are named in `agents/src/nn/residual.rs` and `nn/hypersphere.rs`. SimBa's
critics are scalar and every optimiser decays weights; BRO's have quantiles, of which all are pooled, and its gradients are
shortened too. Weights of layers decay; biases, gains and shifts do not. SimbaV2's critics are categorical, its weights are
projected after every step and do not decay, log sigma has tanh bounds, and the temperature's loss is in alpha.

Run with torch 2.11.0: python generate.py > data.json
"""

import json
import pathlib
import sys

import torch

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
from derivation import ACT, BATCH, LR, OBS, TARGET_ENTROPY, TAU, Case, f32  # noqa: E402

WIDTH, EXPANSION, MEMBERS, QUANTILES = 4, 2, 2, 3
ADAM_EPS, DECAY, MOST_NORM, LAYER_NORM_EPS = 1e-3, 2.0, 0.05, 1e-6
ATOMS, LOW, HIGH, SHIFT, LOWEST_LOG_STD = 7, -2.0, 2.0, 3.0, -10.0


class Net:
    """Parameters by name, in the order of the parameter block."""

    def __init__(self, kind, inputs, *heads):
        self.kind, self.params, self.heads = kind, {}, len(heads)
        if kind == "simba_v2":
            return self.on_sphere(inputs, heads)
        outputs = sum(heads)
        self.linear("body.embed", inputs, WIDTH)
        if kind == "bro":
            self.norm("body.embed.norm")
        for part in range(2):
            if kind == "simba":
                self.norm(f"body.{part}.norm")
                self.linear(f"body.{part}.expand", WIDTH, EXPANSION * WIDTH)
                self.linear(f"body.{part}.contract", EXPANSION * WIDTH, WIDTH)
            else:
                for layer in ("first", "second"):
                    self.linear(f"body.{part}.{layer}", WIDTH, WIDTH)
                    self.norm(f"body.{part}.{layer}.norm")
        if kind == "simba":
            self.norm("body.end.norm")
        self.linear("body.output", WIDTH, outputs)

    def on_sphere(self, inputs, heads):
        self.scaled("body.embed", inputs + 1, WIDTH)
        for part in range(2):
            self.scaled(f"body.{part}.expand", WIDTH, EXPANSION * WIDTH)
            self.unit(f"body.{part}.contract", EXPANSION * WIDTH, WIDTH)
            self.gain(f"body.{part}.share", WIDTH)
        for head, outputs in enumerate(heads):
            self.scaled(f"body.head.{head}.hidden", WIDTH, WIDTH)
            self.unit(f"body.head.{head}", WIDTH, outputs)
            self.params[f"body.head.{head}.bias"] = f32(torch.randn(outputs) * 0.3).requires_grad_()

    def scaled(self, name, fan_in, width):
        self.unit(name, fan_in, width)
        self.gain(name, width)

    def unit(self, name, fan_in, width):
        columns = [row / row.norm() for row in torch.randn(width, fan_in)]
        self.params[f"{name}.weight"] = f32(torch.stack(columns, dim=1)).requires_grad_()

    def gain(self, name, width):
        self.params[f"{name}.gain"] = f32(0.6 + torch.randn(width) * 0.2).requires_grad_()

    @torch.no_grad()
    def project(self):
        """Every column of a weight, which belongs to one unit, gets length 1."""
        for name, weight in self.params.items():
            if name.endswith("weight"):
                for column in weight.T:
                    column /= column.norm()

    def linear(self, name, fan_in, width):
        self.params[f"{name}.weight"] = f32(torch.randn(fan_in, width) * 0.6).requires_grad_()
        self.params[f"{name}.bias"] = f32(torch.randn(width) * 0.3).requires_grad_()

    def norm(self, name):
        self.params[f"{name}.gain"] = f32(1 + torch.randn(WIDTH) * 0.2).requires_grad_()
        self.params[f"{name}.shift"] = f32(torch.randn(WIDTH) * 0.2).requires_grad_()

    def trailing(self):
        """A target that is not quite what it follows."""
        copy = Net.__new__(Net)
        copy.kind, copy.heads = self.kind, self.heads
        copy.params = {name: f32(p.detach() + 0.05 * torch.randn_like(p)) for name, p in self.params.items()}
        return copy

    def affine(self, name, x):
        return x @ self.params[f"{name}.weight"] + self.params[f"{name}.bias"]

    def normed(self, name, x):
        mean, variance = x.mean(dim=1, keepdim=True), x.var(dim=1, unbiased=False, keepdim=True)
        return (x - mean) / (variance + LAYER_NORM_EPS).sqrt() * self.params[f"{name}.gain"] + self.params[f"{name}.shift"]

    def scaled_at(self, name, x):
        return self.params[f"{name}.gain"] * (x @ self.params[f"{name}.weight"])

    def forward_on_sphere(self, x):
        x = on_sphere(torch.cat([x, torch.full((len(x), 1), SHIFT)], dim=1))
        x = on_sphere(self.scaled_at("body.embed", x))
        for part in range(2):
            hidden = torch.relu(self.scaled_at(f"body.{part}.expand", x)) + 1e-8
            h = on_sphere(hidden @ self.params[f"body.{part}.contract.weight"])
            # The parameter of the share starts at 1/sqrt(width), the share itself at 1/(blocks + 1).
            share = self.params[f"body.{part}.share.gain"] * WIDTH**0.5 / 3
            x = on_sphere((1 - share) * x + share * h)
        hidden = [self.scaled_at(f"body.head.{head}.hidden", x) for head in range(self.heads)]
        return torch.cat([self.affine(f"body.head.{head}", h) for head, h in enumerate(hidden)], dim=1)

    def forward(self, x):
        if self.kind == "simba_v2":
            return self.forward_on_sphere(x)
        x = self.affine("body.embed", x)
        if self.kind == "bro":
            x = torch.relu(self.normed("body.embed.norm", x))
        for part in range(2):
            if self.kind == "simba":
                h = torch.relu(self.affine(f"body.{part}.expand", self.normed(f"body.{part}.norm", x)))
                x = x + self.affine(f"body.{part}.contract", h)
            else:
                h = torch.relu(self.normed(f"body.{part}.first.norm", self.affine(f"body.{part}.first", x)))
                x = x + self.normed(f"body.{part}.second.norm", self.affine(f"body.{part}.second", h))
        if self.kind == "simba":
            x = self.normed("body.end.norm", x)
        return self.affine("body.output", x)


def on_sphere(x):
    return torch.nn.functional.normalize(x, dim=1)


def stacked(nets):
    """Name and values of an ensemble: weights [E, in, out], others [E, 1, n]."""
    for name in nets[0].params:
        tensor = torch.stack([net.params[name] for net in nets])
        yield name, tensor if name.endswith("weight") else tensor.unsqueeze(1)


def adamw_step(case, loss, nets, prefix, kind):
    """One step of PyTorch's AdamW; the gradient is kept as Adam keeps it after its first step."""
    named = [(name, p) for net in nets for name, p in net.params.items()]
    weights = [p for name, p in named if name.endswith("weight")]
    others = [p for name, p in named if not name.endswith("weight")]
    groups = [{"params": weights, "weight_decay": 0.0 if kind == "simba_v2" else DECAY}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=LR, eps=ADAM_EPS)
    optimizer.zero_grad()
    loss.backward()
    if kind == "bro":
        norm = torch.nn.utils.clip_grad_norm_(weights + others, MOST_NORM)
        assert norm > MOST_NORM, "the gradient is short, so its shortening is not tested"
    gradients = [torch.cat([torch.stack([n.params[name].grad for n in nets]).flatten()]) for name in nets[0].params]
    case.moments[f"{prefix}/adam.first"] = 0.1 * torch.cat(gradients)
    optimizer.step()
    if kind == "simba_v2":
        for net in nets:
            net.project()


def project_atoms(probability, at):
    """The distribution on the atoms: each return is divided between the two atoms around it. Both [B, K]."""
    z, spacing = torch.linspace(LOW, HIGH, ATOMS), (HIGH - LOW) / (ATOMS - 1)
    projected = torch.zeros_like(probability)
    for row, (shares, returns) in enumerate(zip(probability, at.clamp(LOW, HIGH))):
        for share, value in zip(shares, returns):
            below = min(int((value - LOW) / spacing), ATOMS - 2)
            upper = (value - z[below]) / spacing
            projected[row, below] += share * (1 - upper)
            projected[row, below + 1] += share * upper
    return projected


def quantile_huber(target, atoms):
    """Mean over rows and pairs of the loss of equations 11 and 12 of TQC. `target` [B, J], `atoms` [B, K]."""
    fractions = (2 * torch.arange(QUANTILES) + 1) / (2 * QUANTILES)
    delta = target.unsqueeze(1) - atoms.unsqueeze(2)  # [B, K, J]
    huber = torch.where(delta.abs() <= 1.0, 0.5 * delta**2, delta.abs() - 0.5)
    below = (delta < 0.0).double()
    return ((fractions[None, :, None] - below).abs() * huber).mean(dim=(1, 2))  # [B]


def case_of(kind, seed):
    case = Case(seed)
    outputs = {"bro": QUANTILES, "simba_v2": ATOMS}.get(kind, 1)
    z = torch.linspace(LOW, HIGH, ATOMS)
    policy = Net(kind, OBS, ACT, ACT)
    critics = [Net(kind, OBS + ACT, outputs) for _ in range(MEMBERS)]
    targets = [net.trailing() for net in critics]

    def draw(observation):
        epsilon = case.normal(BATCH, ACT)
        mean, log_std = policy.forward(observation).chunk(2, dim=1)
        if kind == "simba_v2":
            log_std = LOWEST_LOG_STD + 0.5 * (2.0 - LOWEST_LOG_STD) * (1 + torch.tanh(log_std))
        density = torch.distributions.Normal(mean, log_std.clamp(-20.0, 2.0).exp())
        u = mean + log_std.clamp(-20.0, 2.0).exp() * epsilon
        a = torch.tanh(u)
        return a, (density.log_prob(u) - torch.log(1.0 - a**2)).sum(dim=1)

    def values(nets, obs, action):
        return torch.stack([net.forward(torch.cat([obs, action], dim=1)) for net in nets])  # [E, B, K]

    def state():
        out = {f"policy/{name}": tensor for name, tensor in policy.params.items()}
        out |= {f"critic/{name}": tensor for name, tensor in stacked(critics)}
        out |= {f"target/{name}": tensor for name, tensor in stacked(targets)}
        out["log_alpha/log_alpha"] = case.log_alpha
        return {
            name: {"shape": list(tensor.shape), "data": tensor.detach().flatten().tolist()}
            for name, tensor in out.items()
        }

    before = state()
    with torch.no_grad():
        next_action, next_log_prob = draw(case.next_obs)
        of_next = values(targets, case.next_obs, next_action)
        entropy = case.alpha * next_log_prob
        if kind == "bro":
            pooled = of_next.permute(1, 0, 2).flatten(1)  # [B, E·K]
            y = case.reward.unsqueeze(1) + case.discount.unsqueeze(1) * (pooled - entropy.unsqueeze(1))
        elif kind == "simba_v2":
            probability = of_next.softmax(dim=2)
            lowest = (probability * z).sum(dim=2).argmin(dim=0)
            probability = probability[lowest, torch.arange(BATCH)]  # [B, K]
            at = case.reward.unsqueeze(1) + case.discount.unsqueeze(1) * (z - entropy.unsqueeze(1))
            assert bool((at.abs() > HIGH).any()), "no return is outside, so clipping is not tested"
            target, y = project_atoms(probability, at), (probability * at).sum(dim=1, keepdim=True)
        else:
            y = (case.reward + case.discount * (of_next.squeeze(-1).min(dim=0).values - entropy)).unsqueeze(1)
    out = values(critics, case.obs, case.action)
    if kind == "bro":
        losses = torch.stack([quantile_huber(y, atoms) for atoms in out])  # [E, B]
        critic_loss = (losses * case.weight).mean()
    elif kind == "simba_v2":
        losses = -(target * out.log_softmax(dim=2)).sum(dim=2)  # [E, B]
        critic_loss = (losses * case.weight).mean(dim=1).sum()
        out = (out.softmax(dim=2) * z).sum(dim=2, keepdim=True)  # from here on the expected returns
    else:
        critic_loss = (0.5 * (out.squeeze(-1) - y.squeeze(1)).pow(2) * case.weight).mean(dim=1).sum()
    td_error = (out.mean(dim=2) - y.mean(dim=1)).abs().mean(dim=0).detach()
    metrics = {"train/critic_loss": critic_loss.item(), "train/target_mean": y.mean().item()}
    adamw_step(case, critic_loss, critics, "critic", kind)

    action, log_prob = draw(case.obs)
    of_members = values(critics, case.obs, action)
    of_members = (of_members.softmax(dim=2) * z).sum(dim=2) if kind == "simba_v2" else of_members.mean(dim=2)
    value = of_members.mean(dim=0) if kind == "bro" else of_members.min(dim=0).values
    actor_loss = (case.alpha * log_prob - value).mean()
    adamw_step(case, actor_loss, [policy], "policy", kind)
    optimizer = torch.optim.Adam([case.log_alpha], lr=LR)
    factor = case.log_alpha.exp() if kind == "simba_v2" else case.log_alpha
    alpha_loss = -(factor * (log_prob.detach() + TARGET_ENTROPY)).mean()
    optimizer.zero_grad()
    alpha_loss.backward()
    optimizer.step()
    metrics |= {"train/actor_loss": actor_loss.item(), "train/ent_coef_loss": alpha_loss.item()}
    with torch.no_grad():
        for net, target in zip(critics, targets, strict=True):
            for name, averaged in target.params.items():
                averaged += TAU * (net.params[name] - averaged)
    return {
        "dims": {"obs": OBS, "act": ACT, "hidden": WIDTH, "batch": BATCH},
        "batch": {
            "obs": case.obs.flatten().tolist(),
            "action": case.action.flatten().tolist(),
            "reward": case.reward.tolist(),
            "discount": case.discount.tolist(),
            "next_obs": case.next_obs.flatten().tolist(),
            "weight": case.weight.tolist(),
        },
        "noise": case.drawn,
        "before": before,
        "after": state(),
        "moments": {name: tensor.tolist() for name, tensor in case.moments.items()},
        "metrics": metrics,
        "td_error": td_error.tolist(),
    }


SEEDS = {"simba": 20241009, "bro": 20240525, "simba_v2": 20250221}
print(json.dumps({kind: case_of(kind, seed) for kind, seed in SEEDS.items()}, indent=1))
