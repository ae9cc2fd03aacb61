"""Whether TPE with pruning finds better settings than random search with as many env steps: SAC on Pendulum-v1, five settings.

    cargo build --release
    python3 benches/search.py [--repetitions 3] [--trials 40] [--out FOLDER]

Each repetition searches with TPE and pruning, then at random without pruning for as many env steps, and trains the best settings
of both with five other seeds. Goes on in the same folder after an interruption. Prints one JSON object.
"""

import argparse
import csv
import json
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent
ENV_STEPS = 10_000
SEEDS = range(101, 106)

SEARCH = """env = "Pendulum-v1"
algo = "sac"
config = "none"
env_steps = {env_steps}
trials = {trials}
sampler = "{sampler}"
seed = {seed}
set = ["agent.body.hidden=[64,64]", "eval.every={{env_steps=1000}}", "train.warmup_env_steps=500", "replay.capacity=10000"]
{prune}

[space]
agent.learning_rate = {{ min = 1e-5, max = 1e-1, log = true }}
agent.gamma = {{ min = 0.8, max = 0.999 }}
agent.targets.tau = {{ min = 1e-3, max = 1e-1, log = true }}
agent.delay.policy = {{ choice = [1, 2, 4] }}
train.batch_size = {{ choice = [16, 32, 64, 128, 256] }}
"""
PRUNE = "prune = { min_env_steps = 1000, reduction_factor = 3 }"

parser = argparse.ArgumentParser()
parser.add_argument("--sac", default=str(ROOT / "target/release/sac"))
parser.add_argument("--repetitions", type=int, default=3)
parser.add_argument("--trials", type=int, default=40)
parser.add_argument("--out", default="runs/search_bench")
arguments = parser.parse_args()


def search(name, **values):
    """Searches, and returns the trials, the best first, with the env steps of all."""
    file = out / f"{name}.toml"
    file.write_text(SEARCH.format(env_steps=ENV_STEPS, **values))
    command = [arguments.sac, "search", file, "--out", out / name]
    subprocess.run([*command, "--quiet"], check=True, stdout=subprocess.DEVNULL)
    return json.loads(subprocess.check_output([*command, "--status", "--json"]))


def final_returns(name):
    """The last evaluations of the best settings with other seeds."""
    for seed in SEEDS:
        run = out / f"{name}-best" / f"seed-{seed}"
        if not (run / "checkpoints" / str(ENV_STEPS)).exists():
            train = [arguments.sac, "train", "--config", out / name / "best.toml", "--seed", str(seed), "--threads", "1"]
            subprocess.run([*train, "--run-dir", run, "--quiet"], check=True, stdout=subprocess.DEVNULL)
    curves = [list(csv.DictReader(open(out / f"{name}-best/seed-{seed}/eval.csv"))) for seed in SEEDS]
    return [float(curve[-1]["mean_return"]) for curve in curves]


def interquartile_mean(values):
    values = sorted(values)
    quarter = len(values) // 4
    kept = values[quarter : len(values) - quarter]
    return sum(kept) / len(kept)


out = pathlib.Path(arguments.out)
out.mkdir(parents=True, exist_ok=True)
found = []
for seed in range(1, arguments.repetitions + 1):
    tpe = search(f"tpe-{seed}", trials=arguments.trials, sampler="tpe", seed=seed, prune=PRUNE)
    trials = max(1, tpe["env_steps"] // ENV_STEPS)
    random = search(f"random-{seed}", trials=trials, sampler="random", seed=seed, prune="")
    scores = {name: final_returns(f"{name}-{seed}") for name in ("tpe", "random")}
    found.append(
        {
            "seed": seed,
            "share_of_env_steps_without_pruning": tpe["env_steps"] / (arguments.trials * ENV_STEPS),
            "random_trials": trials,
            "tpe": {"interquartile_mean": interquartile_mean(scores["tpe"]), "returns": scores["tpe"], "best": tpe["trials"][0]},
            "random": {
                "interquartile_mean": interquartile_mean(scores["random"]),
                "returns": scores["random"],
                "best": random["trials"][0],
            },
        }
    )
print(json.dumps(found, indent=1))
