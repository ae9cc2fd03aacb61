"""What checkpoints write: bytes that a run without updates gives to the system, and the size of its folder at the end.

    cargo build --release
    python3 benches/checkpoints.py [--env Ant-v5] [--steps 200000] [--every 10000]

Reads /proc, so Linux only. Bytes are those of `wchar`: what was written, whatever the disk made of it.
"""

import argparse
import pathlib
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent

parser = argparse.ArgumentParser()
parser.add_argument("--sac", default=str(ROOT / "target/release/sac"))
parser.add_argument("--env", default="Ant-v5")
parser.add_argument("--steps", type=int, default=200_000)
parser.add_argument("--every", type=int, default=10_000)
arguments = parser.parse_args()


def written(pid):
    """Bytes that a process has written so far, MiB; None once it is gone."""
    try:
        lines = pathlib.Path(f"/proc/{pid}/io").read_text().splitlines()
    except OSError:
        return None
    counters = dict(line.split(": ") for line in lines)
    return int(counters["wchar"]) / 2**20 if "wchar" in counters else None


with tempfile.TemporaryDirectory() as folder:
    run = pathlib.Path(folder) / "run"
    settings = {
        "train.warmup_env_steps": arguments.steps,
        "agent.body.hidden": "[32,32]",
        "eval.every": "never",
        "checkpoint.every": f"{{env_steps={arguments.every}}}",
    }
    command = [arguments.sac, "train", "--env", arguments.env, "--config", "none", "--threads", "1", "--quiet"]
    command += ["--steps", str(arguments.steps), "--run-dir", str(run)]
    command += [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    last = 0.0
    while process.poll() is None:
        last = written(process.pid) or last
        time.sleep(0.02)
    assert process.returncode == 0, f"exit code {process.returncode}"
    names = {(file.stat().st_dev, file.stat().st_ino): file.stat().st_size for file in run.rglob("*") if file.is_file()}
    print(f"{arguments.env}, {arguments.steps} steps, a checkpoint every {arguments.every}: "
          f"{last:.0f} MiB written, {sum(names.values()) / 2**20:.0f} MiB in the folder")
