# %% [markdown]
# # A run in a notebook
#
# Editors that know cells (`# %%`) show this file as a notebook; `python examples/python/notebook.py` runs it as a program.

# %%
import numpy as np

import sac

# %% [markdown]
# Training shows a progress bar. Stopping the cell writes a checkpoint, and `sac.resume(run_dir)` goes on from it.

# %%
run = sac.train(
    "Pendulum-v1",
    steps=3_000,
    seed=0,
    agent__body__hidden=[64, 64],
    train__warmup_env_steps=400,
    eval__every__env_steps=500,
    log__every__env_steps=250,
)
run

# %% [markdown]
# Metrics are arrays; `run.frame()` is the same as a pandas frame, and `run.plot()` draws them.

# %%
metrics = run.metrics()
scores = metrics["eval/mean_reward"]
print("mean returns of the evaluations:", np.round(scores[~np.isnan(scores)], 1))

# %%
try:
    axes = run.plot()
    axes.figure.savefig(run.path / "returns.png")
except ImportError:
    print("matplotlib is not installed, so nothing is drawn")

# %% [markdown]
# The policy acts on one observation or on many.

# %%
policy = sac.load(run)
envs = sac.make_vec("Pendulum-v1", 8)
observations, _ = envs.reset(seed=0)
returns = np.zeros(8)
for _ in range(200):
    actions, _ = policy.predict(observations)
    observations, rewards, *_ = envs.step(actions)
    returns += rewards
print("returns of eight episodes:", np.round(returns, 1))

# %%
for name, values in policy.state_dict().items():
    print(name, values.shape)
