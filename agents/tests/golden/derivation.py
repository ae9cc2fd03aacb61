"""What the golden updates of the critics share: networks, the squashed Gaussian, the steps around a critic's loss.

Our own derivation, in double precision. Equation numbers: Haarnoja et al. 2018b (arXiv 1812.05905). The order of an
update is: the critic's own step, the actor (as the new critic sees it, with the old alpha), the temperature, the targets.
Networks, batch and noise are drawn here once, in the same order for every case; a case draws what else it needs.
"""

import json
import math

import torch

torch.set_default_dtype(torch.float64)

OBS, ACT, HIDDEN, BATCH = 3, 2, 5, 4
GAMMA, TAU, LR, TARGET_ENTROPY, ALPHA = 0.99, 0.005, 3e-4, -2.0, 0.4


def f32(tensor):
    """Round to single precision, so that both sides start from the same numbers."""
    return tensor.float().double()


def mlp(inputs, outputs):
    sizes = [inputs, HIDDEN, HIDDEN, outputs]
    layers = []
    for fan_in, width in zip(sizes, sizes[1:]):
        layers.append(f32(torch.randn(fan_in, width) * 0.6).requires_grad_())
        layers.append(f32(torch.randn(width) * 0.3).requires_grad_())
    return layers


def forward(layers, x):
    for index in range(0, len(layers), 2):
        x = x @ layers[index] + layers[index + 1]
        if index + 2 < len(layers):
            x = torch.relu(x)
    return x


def trailing(networks):
    """Targets that are not quite what they follow."""
    return [[f32(p.detach() + 0.05 * torch.randn_like(p)) for p in network] for network in networks]


def values(networks, *inputs):
    """[E, B, K]"""
    x = torch.cat(inputs, dim=1)
    return torch.stack([forward(network, x) for network in networks])


def stacked(networks):
    """Name and values of each layer of an ensemble, [E, in, out] and [E, 1, out], in the order of the parameter block."""
    for index in range(len(networks[0])):
        tensor = torch.stack([network[index] for network in networks])
        is_bias = index % 2 == 1
        yield f"body.{index // 2}.{'bias' if is_bias else 'weight'}", tensor.unsqueeze(1) if is_bias else tensor


def reflect(x):
    """Mirror at the bounds of the box until inside, written as the walk that it is."""
    x = x.clone()
    while bool((x.abs() > 1.0).any()):
        x = torch.where(x > 1.0, 2.0 - x, x)
        x = torch.where(x < -1.0, -2.0 - x, x)
    return x


class Case:
    """A policy, a temperature, a batch with weights, and whatever a critic adds to `state`."""

    def __init__(self, seed):
        torch.manual_seed(seed)
        self.policy = mlp(OBS, 2 * ACT)
        self.log_alpha = f32(torch.tensor([math.log(ALPHA)])).requires_grad_()
        self.alpha = self.log_alpha.detach().exp()
        self.obs, self.next_obs = f32(torch.randn(BATCH, OBS)), f32(torch.randn(BATCH, OBS))
        self.action = f32(torch.tanh(torch.randn(BATCH, ACT)))
        self.reward = f32(torch.randn(BATCH))
        self.discount = f32(torch.tensor([GAMMA, 0.0, GAMMA**2, GAMMA]))
        self.weight = f32(torch.rand(BATCH) * 0.8 + 0.2)
        self.drawn = []
        self.networks = {}  # section/prefix -> ensemble
        self.extra = {}  # name -> tensor of the critic's section
        self.dims = {}  # what else the test needs to know
        self.moments = {}  # name -> first moment of Adam: (1 − β1) times the gradient

    def normal(self, *shape):
        """Noise, in the order in which the update draws it."""
        noise = f32(torch.randn(*shape))
        self.drawn += noise.flatten().tolist()
        return noise

    def draw(self, observation):
        epsilon = self.normal(BATCH, ACT)
        mean, log_std = forward(self.policy, observation).chunk(2, dim=1)
        log_std = log_std.clamp(-20.0, 2.0)
        normal = torch.distributions.Normal(mean, log_std.exp())
        u = mean + log_std.exp() * epsilon
        a = torch.tanh(u)
        # The density of a = tanh(u): the normal's, divided by the derivative of tanh. Written out naively on purpose.
        return a, (normal.log_prob(u) - torch.log(1.0 - a**2)).sum(dim=1)

    def around(self, action, bandwidth, pairs):
        """Actions around `action`: Gaussian steps, then their mirror images, reflected at the bounds."""
        steps = bandwidth * self.normal(pairs, BATCH, ACT)
        moved = [action + sign * step for sign in (1.0, -1.0) for step in steps]
        assert any(bool((a.abs() > 1.0).any()) for a in moved), "no point crosses a bound, so reflection is not tested"
        return [reflect(a) for a in moved]

    def step(self, loss, networks, prefix):
        """One Adam step of an ensemble; the gradient is kept as Adam keeps it after its first step."""
        parameters = [p for network in networks for p in network]
        optimizer = torch.optim.Adam(parameters, lr=LR)
        optimizer.zero_grad()
        loss.backward()
        gradients = [[p.grad for p in network] for network in networks]
        flat = torch.cat([tensor.flatten() for _, tensor in stacked(gradients)])
        self.moments[f"{prefix}/adam.first"] = 0.1 * flat
        optimizer.step()

    def uniform(self, *shape):
        """The same, uniform."""
        noise = f32(torch.rand(*shape))
        self.drawn += noise.flatten().tolist()
        return noise

    def finish(self, actor_value, target_entropy=TARGET_ENTROPY):
        """Equations 9 and 18 (in its log-alpha form). `actor_value` maps an action to what the actor climbs, [B]."""
        new_action, log_prob = self.draw(self.obs)
        actor_loss = (self.alpha * log_prob - actor_value(new_action)).mean()
        policy_optimizer = torch.optim.Adam(self.policy, lr=LR)
        policy_optimizer.zero_grad()
        actor_loss.backward()
        policy_optimizer.step()
        alpha_optimizer = torch.optim.Adam([self.log_alpha], lr=LR)
        alpha_loss = -(self.log_alpha * (log_prob.detach() + target_entropy)).mean()
        alpha_optimizer.zero_grad()
        alpha_loss.backward()
        alpha_optimizer.step()
        return {"train/actor_loss": actor_loss.item(), "train/ent_coef_loss": alpha_loss.item()}

    def follow(self, targets, networks):
        with torch.no_grad():
            for network, target in zip(networks, targets, strict=True):
                for parameter, averaged in zip(network, target, strict=True):
                    averaged += TAU * (parameter - averaged)

    def state(self):
        out = {f"policy/body.{i // 2}.{'bias' if i % 2 else 'weight'}": p for i, p in enumerate(self.policy)}
        for prefix, networks in self.networks.items():
            out |= {f"{prefix}/{name}": tensor for name, tensor in stacked(networks)}
        out |= {"log_alpha/log_alpha": self.log_alpha} | self.extra
        return {
            name: {"shape": list(tensor.shape), "data": tensor.detach().flatten().tolist()}
            for name, tensor in out.items()
        }

    def print(self, before, metrics, td_error):
        print(
            json.dumps(
                {
                    "dims": {"obs": OBS, "act": ACT, "hidden": HIDDEN, "batch": BATCH} | self.dims,
                    "batch": {
                        "obs": self.obs.flatten().tolist(),
                        "action": self.action.flatten().tolist(),
                        "reward": self.reward.tolist(),
                        "discount": self.discount.tolist(),
                        "next_obs": self.next_obs.flatten().tolist(),
                        "weight": self.weight.tolist(),
                    },
                    "noise": self.drawn,
                    "before": before,
                    "after": self.state(),
                    "moments": {name: tensor.tolist() for name, tensor in self.moments.items()},
                    "metrics": metrics,
                    "td_error": td_error.tolist(),
                },
                indent=1,
            )
        )
