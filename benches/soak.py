"""Whether training slows down or grows: one long run, its processor time per update and resident memory by stretches.

    cargo build --release
    python3 benches/soak.py [--updates 500000] [--stretch 50000]

Processor time, not wall time: other programs on the machine matter less to it. Reads /proc, so Linux only.
"""

import argparse
import json
import os
import pathlib
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")

parser = argparse.ArgumentParser()
parser.add_argument("--sac", default=str(ROOT / "target/release/sac"))
parser.add_argument("--env", default="Pendulum-v1")
parser.add_argument("--updates", type=int, default=500_000)
parser.add_argument("--stretch", type=int, default=50_000)
parser.add_argument("--threads", type=int, default=1)
arguments = parser.parse_args()


def used(pid):
    """Processor time in seconds, resident memory in MiB."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    resident = int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1])
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S, resident * PAGE / 2**20


with tempfile.TemporaryDirectory() as folder:
    run = pathlib.Path(folder) / "run"
    warmup = 1000
    command = [arguments.sac, "train", "--env", arguments.env, "--config", "none", "--seed", "1"]
    command += ["--steps", str(arguments.updates + warmup), "--threads", str(arguments.threads), "--quiet"]
    command += ["--set", f"train.warmup_env_steps={warmup}", "--set", "checkpoint.every=never"]
    command += ["--set", "eval.every={env_steps=5000}", "--run-dir", str(run)]
    process = subprocess.Popen(command)
    rows = run / "metrics.jsonl"
    print("| Updates | CPU ms per update | Resident memory, MiB |\n|---|---|---|", flush=True)
    due, before = arguments.stretch, None
    while process.poll() is None:
        time.sleep(0.2)
        if not rows.exists():
            continue
        with rows.open("rb") as file:
            file.seek(max(0, rows.stat().st_size - 4096))
            lines = file.read().decode().strip().splitlines()
        try:
            updates = json.loads(lines[-1])["grad_steps"]
        except (IndexError, ValueError, KeyError):
            continue
        try:
            seconds, memory = used(process.pid)
        except (FileNotFoundError, IndexError):
            break
        if before is None:
            before = (updates, seconds)
        if updates >= due:
            per_update_ms = 1e3 * (seconds - before[1]) / (updates - before[0])
            print(f"| {updates} | {per_update_ms:.3f} | {memory:.1f} |", flush=True)
            due, before = updates + arguments.stretch, (updates, seconds)
    raise SystemExit(process.returncode)
