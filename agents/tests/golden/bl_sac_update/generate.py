"""One full update of Soft Actor-Critic with band-limited target critics, derived in PyTorch.

The update is Haarnoja et al. 2018b's (arXiv 1812.05905), as in ../sac_update. In its target, every critic is replaced by
its mean over four actions around the next one: two Gaussian steps and their mirror images, reflected at the bounds of the
box; the smaller of the two means counts. The log-probability stays that of the next action itself.

Run with torch 2.11.0: python generate.py > data.json. Double precision, so that the data is the mathematics; the Rust
side computes in single precision and must agree to 1e-5 relative.
"""

import json
import math

import torch

torch.manual_seed(20200619)
torch.set_default_dtype(torch.float64)

OBS, ACT, HIDDEN, BATCH, MEMBERS = 3, 2, 5, 4, 2
GAMMA, TAU, LR, TARGET_ENTROPY, ALPHA = 0.99, 0.005, 3e-4, -2.0, 0.4
BANDWIDTH, PAIRS = 0.4, 2  # wide, so that some points cross the bounds


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


policy = mlp(OBS, 2 * ACT)
critics = [mlp(OBS + ACT, 1) for _ in range(MEMBERS)]
targets = [[f32(p.detach() + 0.05 * torch.randn_like(p)) for p in critic] for critic in critics]
log_alpha = f32(torch.tensor([math.log(ALPHA)])).requires_grad_()

obs, next_obs = f32(torch.randn(BATCH, OBS)), f32(torch.randn(BATCH, OBS))
action = f32(torch.tanh(torch.randn(BATCH, ACT)))
reward = f32(torch.randn(BATCH))
discount = f32(torch.tensor([GAMMA, 0.0, GAMMA**2, GAMMA]))
next_noise, noise = f32(torch.randn(BATCH, ACT)), f32(torch.randn(BATCH, ACT))
filter_noise = f32(torch.randn(PAIRS, BATCH, ACT))


def draw(observation, epsilon):
    mean, log_std = forward(policy, observation).chunk(2, dim=1)
    log_std = log_std.clamp(-20.0, 2.0)
    normal = torch.distributions.Normal(mean, log_std.exp())
    u = mean + log_std.exp() * epsilon
    a = torch.tanh(u)
    # The density of a = tanh(u): the normal's, divided by the derivative of tanh. Written out naively on purpose.
    log_prob = (normal.log_prob(u) - torch.log(1.0 - a**2)).sum(dim=1)
    return a, log_prob


def values(networks, observation, a):
    x = torch.cat([observation, a], dim=1)
    return torch.stack([forward(network, x).squeeze(-1) for network in networks])


def reflect(x):
    """Mirror at the bounds until inside, written as the walk that it is."""
    x = x.clone()
    while bool((x.abs() > 1.0).any()):
        x = torch.where(x > 1.0, 2.0 - x, x)
        x = torch.where(x < -1.0, -2.0 - x, x)
    return x


def filtered(networks, observation, a):
    """Each network's mean over the points around `a`, one point after the other: [members, batch]."""
    crossings = 0
    total = 0.0
    for sign in (1.0, -1.0):
        for step in filter_noise:
            moved = a + sign * BANDWIDTH * step
            crossings += int((moved.abs() > 1.0).sum())
            total = total + values(networks, observation, reflect(moved))
    assert crossings > 0, "no point crosses a bound, so the reflection is not tested"
    return total / (2 * PAIRS)


def names(layers):
    return [f"body.{index // 2}.{'bias' if index % 2 else 'weight'}" for index in range(len(layers))]


def state():
    out = {}
    for name, parameter in zip(names(policy), policy):
        out[f"policy/{name}"] = parameter
    for prefix, networks in (("critic", critics), ("target", targets)):
        for index, name in enumerate(names(networks[0])):
            stacked = torch.stack([network[index] for network in networks])
            out[f"{prefix}/{name}"] = stacked.unsqueeze(1) if name.endswith("bias") else stacked
    out["log_alpha/log_alpha"] = log_alpha
    return {
        name: {"shape": list(tensor.shape), "data": tensor.detach().flatten().tolist()} for name, tensor in out.items()
    }


before = state()
alpha = log_alpha.detach().exp()
policy_optimizer = torch.optim.Adam(policy, lr=LR)
critic_optimizer = torch.optim.Adam([p for critic in critics for p in critic], lr=LR)
alpha_optimizer = torch.optim.Adam([log_alpha], lr=LR)

with torch.no_grad():
    next_action, next_log_prob = draw(next_obs, next_noise)
    target = reward + discount * (filtered(targets, next_obs, next_action).min(dim=0).values - alpha * next_log_prob)
critic_loss = sum(0.5 * (q - target).pow(2).mean() for q in values(critics, obs, action))
critic_optimizer.zero_grad()
critic_loss.backward()
critic_optimizer.step()

new_action, log_prob = draw(obs, noise)
actor_loss = (alpha * log_prob - values(critics, obs, new_action).min(dim=0).values).mean()
policy_optimizer.zero_grad()
actor_loss.backward()
policy_optimizer.step()

alpha_loss = -(log_alpha * (log_prob.detach() + TARGET_ENTROPY)).mean()
alpha_optimizer.zero_grad()
alpha_loss.backward()
alpha_optimizer.step()

with torch.no_grad():
    for critic, network in zip(critics, targets):
        for parameter, averaged in zip(critic, network):
            averaged += TAU * (parameter - averaged)

print(
    json.dumps(
        {
            "dims": {"obs": OBS, "act": ACT, "hidden": HIDDEN, "batch": BATCH},
            "bandwidth": BANDWIDTH,
            "batch": {
                "obs": obs.flatten().tolist(),
                "action": action.flatten().tolist(),
                "reward": reward.tolist(),
                "discount": discount.tolist(),
                "next_obs": next_obs.flatten().tolist(),
            },
            "noise": next_noise.flatten().tolist()
            + filter_noise.flatten().tolist()
            + noise.flatten().tolist(),
            "before": before,
            "after": state(),
            "critic_loss": critic_loss.item(),
            "actor_loss": actor_loss.item(),
            "alpha_loss": alpha_loss.item(),
        },
        indent=1,
    )
)
