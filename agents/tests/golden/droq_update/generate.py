"""One full DroQ update, derived in PyTorch from Hiraoka et al. 2022 (arXiv 2110.02034), algorithm 2.

Two critics whose hidden layers are linear, dropout, layer normalisation, ReLU; dropout is at work in the target, in the
critics' loss and in the policy's. Target: the smaller of the two. Policy: their mean. The order is: next action,
critics, actor (as the new critics see it, with the old alpha), temperature, targets; here the policy is due. Adam is
torch.optim's.

Masks come from uniform numbers u: the units that are left out, in the order member, row, unit, are
floor(ln(1 - u) / ln(1 - rate)) units apart. The rate is far above the paper's, so that masks matter at this size.

Run with torch 2.11.0: python generate.py > data.json. Double precision, so that the data is the mathematics; the Rust
side computes in single precision and must agree to 1e-5 relative.
"""

import json
import math

import torch

torch.manual_seed(20211005)
torch.set_default_dtype(torch.float64)

OBS, ACT, HIDDEN, BATCH, MEMBERS = 3, 2, 5, 4, 2
GAMMA, TAU, LR, TARGET_ENTROPY, ALPHA, DROPOUT, EPS = 0.99, 0.005, 3e-4, -2.0, 0.4, 0.2, 1e-5


def f32(tensor):
    """Round to single precision, so that both sides start from the same numbers."""
    return tensor.float().double()


def mlp(inputs, outputs, norm):
    """Name to parameter."""
    sizes = [inputs, HIDDEN, HIDDEN, outputs]
    layers = {}
    for index, (fan_in, width) in enumerate(zip(sizes, sizes[1:])):
        layers[f"body.{index}.weight"] = f32(torch.randn(fan_in, width) * 0.6).requires_grad_()
        layers[f"body.{index}.bias"] = f32(torch.randn(width) * 0.3).requires_grad_()
        if norm and index < 2:
            layers[f"body.{index}.gain"] = f32(1 + torch.randn(width) * 0.2).requires_grad_()
            layers[f"body.{index}.shift"] = f32(torch.randn(width) * 0.2).requires_grad_()
    return layers


def forward(layers, x, masks=None):
    for index in range(3):
        x = x @ layers[f"body.{index}.weight"] + layers[f"body.{index}.bias"]
        if index == 2:
            return x
        if masks is not None:
            x = x * masks[index] / (1 - DROPOUT)
        if f"body.{index}.gain" in layers:
            centred = x - x.mean(dim=-1, keepdim=True)
            normed = centred / (centred.pow(2).mean(dim=-1, keepdim=True) + EPS).sqrt()
            x = normed * layers[f"body.{index}.gain"] + layers[f"body.{index}.shift"]
        x = torch.relu(x)


noise_used = []


def normal():
    """Standard normal draws for every action of the batch."""
    draws = f32(torch.randn(BATCH, ACT))
    noise_used.extend(draws.flatten().tolist())
    return draws


def masks():
    """For both hidden layers, one after the other: 0 where a unit of [member, row] is left out, else 1."""
    layers = []
    for _ in range(2):
        mask = torch.ones(MEMBERS * BATCH * HIDDEN)
        unit = 0
        while True:
            u = f32(torch.rand(())).item()
            noise_used.append(u)
            unit += math.floor(math.log1p(-u) / math.log1p(-DROPOUT))
            if unit >= len(mask):
                break
            mask[unit] = 0.0
            unit += 1
        assert 0 < mask.sum() < len(mask)
        layers.append(mask.view(MEMBERS, BATCH, HIDDEN))
    return layers


policy = mlp(OBS, 2 * ACT, norm=False)
critics = [mlp(OBS + ACT, 1, norm=True) for _ in range(MEMBERS)]
targets = [
    {name: f32(p.detach() + 0.05 * torch.randn_like(p)) for name, p in critic.items()} for critic in critics
]
log_alpha = f32(torch.tensor([math.log(ALPHA)])).requires_grad_()

obs, next_obs = f32(torch.randn(BATCH, OBS)), f32(torch.randn(BATCH, OBS))
action = f32(torch.tanh(torch.randn(BATCH, ACT)))
reward = f32(torch.randn(BATCH))
discount = f32(torch.tensor([GAMMA, 0.0, GAMMA**2, GAMMA]))


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
    first, second = masks()
    return torch.stack(
        [forward(network, x, (first[member], second[member])).squeeze(-1) for member, network in enumerate(networks)]
    )


def state():
    out = {f"policy/{name}": parameter for name, parameter in policy.items()}
    for prefix, networks in (("critic", critics), ("target", targets)):
        for name in networks[0]:
            stacked = torch.stack([network[name] for network in networks])
            out[f"{prefix}/{name}"] = stacked if name.endswith("weight") else stacked.unsqueeze(1)
    out["log_alpha/log_alpha"] = log_alpha
    return {
        name: {"shape": list(tensor.shape), "data": tensor.detach().flatten().tolist()} for name, tensor in out.items()
    }


before = state()
alpha = log_alpha.detach().exp()
policy_optimizer = torch.optim.Adam(policy.values(), lr=LR)
critic_optimizer = torch.optim.Adam([p for critic in critics for p in critic.values()], lr=LR)
alpha_optimizer = torch.optim.Adam([log_alpha], lr=LR)

with torch.no_grad():
    next_action, next_log_prob = draw(next_obs, normal())
    target = reward + discount * (values(targets, next_obs, next_action).min(dim=0).values - alpha * next_log_prob)
critic_loss = sum(0.5 * (q - target).pow(2).mean() for q in values(critics, obs, action))
critic_optimizer.zero_grad()
critic_loss.backward()
critic_optimizer.step()

new_action, log_prob = draw(obs, normal())
actor_loss = (alpha * log_prob - values(critics, obs, new_action).mean(dim=0)).mean()
policy_optimizer.zero_grad()
actor_loss.backward()
policy_optimizer.step()

alpha_loss = -(log_alpha * (log_prob.detach() + TARGET_ENTROPY)).mean()
alpha_optimizer.zero_grad()
alpha_loss.backward()
alpha_optimizer.step()

with torch.no_grad():
    for critic, network in zip(critics, targets):
        for name, averaged in network.items():
            averaged += TAU * (critic[name] - averaged)

print(
    json.dumps(
        {
            "dims": {"obs": OBS, "act": ACT, "hidden": HIDDEN, "batch": BATCH, "members": MEMBERS, "dropout": DROPOUT},
            "batch": {
                "obs": obs.flatten().tolist(),
                "action": action.flatten().tolist(),
                "reward": reward.tolist(),
                "discount": discount.tolist(),
                "next_obs": next_obs.flatten().tolist(),
            },
            "noise": noise_used,
            "before": before,
            "after": state(),
            "critic_loss": critic_loss.item(),
            "actor_loss": actor_loss.item(),
            "alpha_loss": alpha_loss.item(),
        },
        indent=1,
    )
)
