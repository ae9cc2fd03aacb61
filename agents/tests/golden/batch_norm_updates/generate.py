"""Full updates of agents with batch normalisation, derived in PyTorch: FlashSAC's and XQC's bodies with a categorical
critic, and CrossQ's with batch renormalisation and without target parameters.

Our own derivation, in double precision. Sources are named in `agents/src/nn/norm.rs`, `nn/residual.rs` and
`critic/categorical.rs`. The order is: next action (running statistics), critics ((s, a) and (s', a') in one batch, with the
statistics of that batch), actor (statistics of its own batch; the critic's running ones, which have moved by then),
temperature, targets. After each step of an optimiser the running statistics move and weights are projected.

Run with torch 2.11.0: python generate.py > data.json. The Rust side computes in single precision and must agree to 1e-5
relative.
"""

import json
import math

import torch

torch.set_default_dtype(torch.float64)

OBS, ACT, BATCH, MEMBERS = 3, 2, 6, 2
GAMMA, TAU, LR, TARGET_ENTROPY, ALPHA, MOMENTUM = 0.99, 0.005, 3e-4, -2.0, 0.4, 0.01
# Far above the rounding error of a gradient: what a batch normalisation takes away again has a gradient of 0.
ADAM_EPS = 1e-3
ATOMS, LOW, HIGH = 7, -2.0, 2.0
NORM_EPS = 1e-8


def f32(tensor):
    """Round to single precision, so that both sides start from the same numbers."""
    return tensor.float().double()


class Net:
    """Parameters and running statistics of one member, by name."""

    def __init__(self, kind, eps):
        self.kind, self.eps = kind, eps
        self.params, self.statistics, self.observed = {}, {}, {}
        self.units, self.roots = [], []

    def linear(self, name, fan_in, width, bias, unit):
        self.params[f"{name}.weight"] = torch.randn(fan_in, width) * 0.6
        if bias:
            self.params[f"{name}.bias"] = torch.randn(width) * 0.3
        if unit:
            self.units.append(f"{name}.weight")

    def norm(self, name, width, root, counts):
        self.params[f"{name}.gain"] = 1 + torch.randn(width) * 0.2
        self.params[f"{name}.shift"] = torch.randn(width) * 0.2
        self.statistics[f"{name}.mean"] = torch.randn(width) * 0.3
        self.statistics[f"{name}.variance"] = 0.5 + torch.rand(width)
        if counts:
            self.statistics[f"{name}.batches"] = torch.full((width,), 5.0)
        if root:
            self.roots.append([f"{name}.gain", f"{name}.shift"])

    def ready(self):
        self.project()
        self.params = {name: f32(p).requires_grad_() for name, p in self.params.items()}
        self.statistics = {name: f32(s) for name, s in self.statistics.items()}
        return self

    @torch.no_grad()
    def project(self):
        for name in self.units:
            weight = self.params[name]
            weight /= weight.pow(2).sum(dim=0, keepdim=True).sqrt().clamp_min(NORM_EPS)
        for names in self.roots:
            total = sum(self.params[name].pow(2).sum() for name in names)
            for name in names:
                self.params[name] *= math.sqrt(len(self.params[name])) / (total + NORM_EPS).sqrt()

    def bn(self, name, x, training):
        gain, shift = self.params[f"{name}.gain"], self.params[f"{name}.shift"]
        mean, variance = self.statistics[f"{name}.mean"], self.statistics[f"{name}.variance"]
        running_std = (variance + self.eps).sqrt()
        if not training:
            return (x - mean) / running_std * gain + shift
        batch_mean, batch_variance = x.mean(dim=0), x.var(dim=0, unbiased=False)
        std = (batch_variance + self.eps).sqrt()
        normed = (x - batch_mean) / std
        self.observed[f"{name}.mean"] = batch_mean.detach()
        self.observed[f"{name}.variance"] = x.var(dim=0, unbiased=True).detach()
        if f"{name}.batches" in self.statistics:
            # Warmed up after 5 batches; limits far below the paper's, so that they matter here.
            r = (std / running_std).detach().clamp(1 / 1.2, 1.2)
            d = ((batch_mean - mean) / running_std).detach().clamp(-0.3, 0.3)
            normed = normed * r + d
        return normed * gain + shift

    @torch.no_grad()
    def observe(self):
        for name, value in self.observed.items():
            self.statistics[name] += MOMENTUM * (value - self.statistics[name])
        for name in self.statistics:
            if name.endswith("batches"):
                self.statistics[name] += 1.0
        self.observed = {}

    def affine(self, name, x):
        out = x @ self.params[f"{name}.weight"]
        bias = self.params.get(f"{name}.bias")
        return out if bias is None else out + bias

    def forward(self, x, training):
        if self.kind == "flash":
            x = self.affine("body.embed", self.bn("body.embed.norm", x, training))
            for part in range(2):
                h = torch.relu(self.bn(f"body.{part}.expand.norm", self.affine(f"body.{part}.expand", x), training))
                h = self.affine(f"body.{part}.contract", h)
                x = x + torch.relu(self.bn(f"body.{part}.contract.norm", h, training))
            x = x / (x.pow(2).mean(dim=1, keepdim=True) + 1e-6).sqrt() * self.params["body.end.norm.gain"]
            return self.affine("body.output", x)
        x = self.bn("body.input.norm", x, training)
        for layer in range(2):
            x = self.affine(f"body.{layer}", x)
            if self.kind == "xqc":
                x = torch.relu(self.bn(f"body.{layer}.norm", x, training))
            else:
                x = self.bn(f"body.{layer}.norm", torch.relu(x), training)
        return self.affine("body.2", x)


def network(kind, inputs, outputs):
    if kind == "flash":
        width = 4
        net = Net(kind, 1e-5)
        net.norm("body.embed.norm", inputs, True, False)
        net.linear("body.embed", inputs, width, False, True)
        for part in range(2):
            net.linear(f"body.{part}.expand", width, 2 * width, False, True)
            net.norm(f"body.{part}.expand.norm", 2 * width, True, False)
            net.linear(f"body.{part}.contract", 2 * width, width, False, True)
            net.norm(f"body.{part}.contract.norm", width, True, False)
        net.params["body.end.norm.gain"] = 1 + torch.randn(width) * 0.2
        net.roots.append(["body.end.norm.gain"])
        net.linear("body.output", width, outputs, True, True)
        return net.ready()
    unit, renorm = kind == "xqc", kind == "crossq"
    net = Net(kind, 1e-3)
    net.norm("body.input.norm", inputs, False, renorm)
    fan_in = inputs
    for layer in range(2):
        net.linear(f"body.{layer}", fan_in, 5, not unit, unit)
        net.norm(f"body.{layer}.norm", 5, False, renorm)
        fan_in = 5
    net.linear("body.2", fan_in, outputs, True, unit)
    return net.ready()


def trailing(net):
    """A target that is not quite what it follows."""
    copy = Net(net.kind, net.eps)
    copy.params = {name: f32(p.detach() + 0.05 * torch.randn_like(p)) for name, p in net.params.items()}
    copy.statistics = {
        name: s.clone() if name.endswith("batches") else f32((s + 0.05 * torch.randn_like(s)).abs())
        for name, s in net.statistics.items()
    }
    return copy


def project_atoms(probability, at):
    """The distribution on the atoms, one by one: each gets the shares of the returns that are nearer than a spacing."""
    z = torch.linspace(LOW, HIGH, ATOMS)
    spacing = (HIGH - LOW) / (ATOMS - 1)
    distance = (at.clamp(LOW, HIGH).unsqueeze(-1) - z).abs() / spacing  # [B, J, K]
    return (probability.unsqueeze(-1) * (1 - distance).clamp_min(0.0)).sum(dim=1)


def case(kind):
    drawn = []

    def normal():
        noise = f32(torch.randn(BATCH, ACT))
        drawn.extend(noise.flatten().tolist())
        return noise

    categorical, has_targets = kind != "crossq", kind != "crossq"
    outputs = ATOMS if categorical else 1
    policy = network(kind, OBS, 2 * ACT)
    critics = [network(kind, OBS + ACT, outputs) for _ in range(MEMBERS)]
    targets = [trailing(net) for net in critics] if has_targets else critics
    log_alpha = f32(torch.tensor([math.log(ALPHA)])).requires_grad_()
    alpha = log_alpha.detach().exp()
    obs, next_obs = f32(torch.randn(BATCH, OBS)), f32(torch.randn(BATCH, OBS))
    action = f32(torch.tanh(torch.randn(BATCH, ACT)))
    reward = f32(torch.randn(BATCH))
    discount = f32(torch.tensor([GAMMA, 0.0, GAMMA**2, GAMMA, GAMMA, GAMMA]))
    weight = f32(torch.rand(BATCH) * 0.8 + 0.2)
    z = torch.linspace(LOW, HIGH, ATOMS)

    def draw(observation, training):
        epsilon = normal()
        mean, log_std = policy.forward(observation, training).chunk(2, dim=1)
        log_std = log_std.clamp(-20.0, 2.0)
        density = torch.distributions.Normal(mean, log_std.exp())
        u = mean + log_std.exp() * epsilon
        a = torch.tanh(u)
        return a, (density.log_prob(u) - torch.log(1.0 - a**2)).sum(dim=1)

    def state():
        def stacked(prefix, nets):
            for name in nets[0].params | nets[0].statistics:
                of = [(net.params | net.statistics)[name] for net in nets]
                tensor = torch.stack(of)
                yield f"{prefix}/{name}", tensor if name.endswith("weight") else tensor.unsqueeze(1)

        out = {f"policy/{name}": tensor for name, tensor in (policy.params | policy.statistics).items()}
        out |= dict(stacked("critic", critics))
        if has_targets:
            out |= dict(stacked("target", targets))
        out["log_alpha/log_alpha"] = log_alpha
        return {
            name: {"shape": list(tensor.shape), "data": tensor.detach().flatten().tolist()}
            for name, tensor in out.items()
        }

    before = state()
    rows = torch.cat([torch.cat([obs, action], dim=1), torch.zeros(BATCH, OBS + ACT)])

    with torch.no_grad():
        next_action, next_log_prob = draw(next_obs, False)
        rows[BATCH:] = torch.cat([next_obs, next_action], dim=1)
        of_next = torch.stack([net.forward(rows, True)[BATCH:] for net in targets])  # [E, B, K]
        entropy = alpha * next_log_prob
        if categorical:
            probability = of_next.softmax(dim=-1)
            lowest = (probability * z).sum(dim=-1).argmin(dim=0)
            probability = probability[lowest, torch.arange(BATCH)]  # [B, K]
            at = reward.unsqueeze(1) + discount.unsqueeze(1) * (z - entropy.unsqueeze(1))
            target = project_atoms(probability, at)
            target_mean = (probability * at).sum(dim=1)
        else:
            target = target_mean = reward + discount * (of_next.squeeze(-1).min(dim=0).values - entropy)
    out = torch.stack([net.forward(rows, True)[:BATCH] for net in critics])
    if categorical:
        losses = -(target * out.log_softmax(dim=-1)).sum(dim=-1)
        q = (out.softmax(dim=-1) * z).sum(dim=-1).detach()
    else:
        q = out.squeeze(-1)
        losses, q = 0.5 * (q - target).pow(2), q.detach()
    critic_loss = (losses * weight).mean(dim=1).sum()
    td_error = (q - target_mean).abs().mean(dim=0)
    critic_params = [p for net in critics for p in net.params.values()]
    optimizer = torch.optim.Adam(critic_params, lr=LR, eps=ADAM_EPS)
    critic_loss.backward()
    optimizer.step()
    for net in critics:
        net.project()
        net.observe()

    new_action, log_prob = draw(obs, True)
    members = torch.stack([net.forward(torch.cat([obs, new_action], dim=1), False) for net in critics])
    of_members = (members.softmax(dim=-1) * z).sum(dim=-1) if categorical else members.squeeze(-1)
    actor_loss = (alpha * log_prob - of_members.min(dim=0).values).mean()
    optimizer = torch.optim.Adam(policy.params.values(), lr=LR, eps=ADAM_EPS)
    actor_loss.backward()
    optimizer.step()
    policy.project()
    policy.observe()

    alpha_loss = -(log_alpha * (log_prob.detach() + TARGET_ENTROPY)).mean()
    optimizer = torch.optim.Adam([log_alpha], lr=LR)
    alpha_loss.backward()
    optimizer.step()

    if has_targets:
        with torch.no_grad():
            for net, target_net in zip(critics, targets, strict=True):
                for name, averaged in target_net.params.items():
                    averaged += TAU * (net.params[name] - averaged)
                for name, averaged in target_net.statistics.items():
                    averaged += TAU * (net.statistics[name] - averaged)
    return {
        "dims": {"obs": OBS, "act": ACT, "hidden": 5, "batch": BATCH},
        "batch": {
            "obs": obs.flatten().tolist(),
            "action": action.flatten().tolist(),
            "reward": reward.tolist(),
            "discount": discount.tolist(),
            "next_obs": next_obs.flatten().tolist(),
            "weight": weight.tolist(),
        },
        "noise": drawn,
        "before": before,
        "after": state(),
        "moments": {},
        "metrics": {
            "train/critic_loss": critic_loss.item(),
            "train/actor_loss": actor_loss.item(),
            "train/ent_coef_loss": alpha_loss.item(),
            "train/target_mean": target_mean.mean().item(),
        },
        "td_error": td_error.tolist(),
        # The next normalisation takes this shift away again.
        "still": ["policy/body.input.norm.shift", "critic/body.input.norm.shift"] if kind == "xqc" else [],
    }


torch.manual_seed(20261127)
print(json.dumps({kind: case(kind) for kind in ("flash", "xqc", "crossq")}, indent=1))
