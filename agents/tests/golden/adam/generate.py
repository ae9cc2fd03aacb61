"""50 steps of torch.optim.Adam on a fixed sequence of gradients. Run with torch 2.11.0: python generate.py > data.json.

The optimum moves, so that both moments grow and shrink. Double precision; gradients are computed from the parameters of
the Rust side's own trajectory being close, hence given explicitly here.
"""

import json

import torch

torch.manual_seed(1412)
torch.set_default_dtype(torch.float64)
SIZE, STEPS = 6, 50
start = torch.randn(SIZE).float().double()
gradients = (torch.randn(STEPS, SIZE) * torch.logspace(-4, 1, SIZE)).float().double()
parameter = start.clone().requires_grad_()
optimizer = torch.optim.Adam([parameter], lr=1e-2, betas=(0.9, 0.999), eps=1e-8)
trajectory = []
for gradient in gradients:
    parameter.grad = gradient.clone()
    optimizer.step()
    trajectory.append(parameter.detach().tolist())
print(json.dumps({"start": start.tolist(), "gradients": gradients.tolist(), "trajectory": trajectory}))
