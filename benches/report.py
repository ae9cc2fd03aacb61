"""How long `sac report` and `sac runs` take on 500 runs with 1,000 evaluations and 1,000 rows of metrics each.

    cargo build --release
    python3 benches/report.py [--runs 500] [--rows 1000]

The runs are copies of a short one with made-up returns: ten settings with as many seeds each. Prints medians of five, in seconds.
"""

import argparse
import json
import pathlib
import random
import statistics
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
SETTINGS = 10

parser = argparse.ArgumentParser()
parser.add_argument("--sac", default=str(ROOT / "target/release/sac"))
parser.add_argument("--runs", type=int, default=500)
parser.add_argument("--rows", type=int, default=1000)
arguments = parser.parse_args()


def write_run(folder, config, provenance, setting, seed):
    """A finished run of a million env steps."""
    (folder / "checkpoints/1000000").mkdir(parents=True)
    (folder / "checkpoints/latest").write_text("1000000\n")
    config = config.replace("\nseed = 1\n", f"\nseed = {seed}\n", 1).replace("total_env_steps = 120", "total_env_steps = 1000000")
    (folder / "config.toml").write_text(config.replace("gamma = 0.99", f"gamma = 0.{90 + setting}"))
    (folder / "provenance.json").write_text(provenance)
    steps = [(row + 1) * 1_000_000 // arguments.rows for row in range(arguments.rows)]
    scores = [f"{at},{at},{at / 700:.3f},{random.gauss(at / 1e4, 20)},1,200," for at in steps]
    header = "env_steps,grad_steps,seconds,mean_return,std_return,mean_length,success_rate"
    (folder / "eval.csv").write_text("\n".join([header, *scores]) + "\n")
    rows = [{"env_steps": at, "seconds": at / 700, "time/peak_memory_mib": 300.5, "train/q_mean": at / 1e5} for at in steps]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def seconds(*words):
    taken = []
    for _ in range(5):
        began = time.monotonic()
        subprocess.run([arguments.sac, *words], check=True, stdout=subprocess.DEVNULL)
        taken.append(time.monotonic() - began)
    return round(statistics.median(taken), 3)


with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    train = [arguments.sac, "train", "--env", "Pendulum-v1", "--steps", "120", "--seed", "1", "--run-dir", folder / "one", "--quiet"]
    train += ["--set", "train.warmup_env_steps=50", "--set", "replay.capacity=1000", "--set", "agent.gamma=0.99"]
    subprocess.run(train, check=True, stdout=subprocess.DEVNULL)
    config, provenance = ((folder / "one" / name).read_text() for name in ("config.toml", "provenance.json"))
    for number in range(arguments.runs):
        run = folder / "runs" / str(number)
        write_run(run, config, provenance, number % SETTINGS, number // SETTINGS)
    found = {
        "report": seconds("report", folder / "runs", "--out", folder / "report.html"),
        "runs": seconds("runs", folder / "runs"),
        "version": seconds("--version"),
    }
print(json.dumps(found))
