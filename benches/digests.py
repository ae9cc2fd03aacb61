"""SHA-256 of everything that each preset learns in a short run: two builds with equal digests learn the same, to the bit.

    cargo build --release
    python3 benches/digests.py > before.json
    …
    python3 benches/digests.py --against before.json

A digest covers the values of all learned tensors of the last checkpoint (networks, targets, temperature, moments of the
optimisers, statistics), whatever they are called and wherever they lie: the digests of the tensors are sorted before they
are joined. Digits depend on the processor, so both builds have to run on the same machine.
"""

import argparse
import hashlib
import json
import pathlib
import platform
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
LEARNED = ("policy", "critic", "temperature")

# Name, then arguments of `sac train`. All learn on one thread.
RUNS = {
    **{
        algo: ["--env", "Pendulum-v1", "--algo", algo, "--config", "none", "--steps", "900"]
        + ["--set", "train.warmup_env_steps=500"]
        for algo in ("sac", "sac-v1", "dsac", "dsac-t", "dsac-t-hybrid", "bl-sac", "tqc")
    },
    **{
        algo: ["--env", "Pendulum-v1", "--algo", algo, "--config", "none", "--steps", "6500"]
        + ["--set", "train.warmup_env_steps=500"]
        for algo in ("dsac-t-paper", "dsac-t-2025")
    },
    **{
        algo: ["--env", "Pendulum-v1", "--algo", algo, "--config", "none", "--steps", "620"]
        + ["--set", "train.warmup_env_steps=600"]
        for algo in ("redq", "droq")
    },
    **{
        algo: ["--env", "CartPole-v1", "--algo", algo, "--config", "none", "--steps", "900"]
        + ["--set", "train.warmup_env_steps=500"]
        for algo in ("sac-discrete", "sac-discrete-paper", "sac-gumbel")
    },
    **{
        algo: ["--env", "Pendulum-v1", "--algo", algo, "--steps", "240"]
        + ["--set", "train.warmup_env_steps=200", "--set", "train.batch_size=32", "--set", "replay.capacity=1000"]
        for algo in ("sac-pixels", "drq")
    },
    # Compositions that no preset has.
    "sac, fourier policy": ["--env", "Pendulum-v1", "--config", "none", "--steps", "700"]
    + ["--set", "train.warmup_env_steps=500", "--set", "agent.policy={kind='fourier'}"],
    "dsac-t, prioritized, n-step": ["--env", "Pendulum-v1", "--algo", "dsac-t-hybrid", "--config", "none", "--steps", "800"]
    + ["--set", "train.warmup_env_steps=500", "--set", "replay.n_step=3", "--set", "replay.sampler={kind='prioritized'}"],
    "sac, silu, normalized": ["--env", "HalfCheetah-v5", "--config", "none", "--steps", "800"]
    + ["--set", "train.warmup_env_steps=500", "--set", "agent.body.activation=silu"]
    + ["--set", "agent.normalize_observations=true"],
    "sac, layer norm": ["--env", "Pendulum-v1", "--config", "none", "--steps", "700"]
    + ["--set", "train.warmup_env_steps=500", "--set", "agent.body.layer_norm=true"],
    "sac, state-independent std": ["--env", "Pendulum-v1", "--config", "none", "--steps", "700"]
    + ["--set", "train.warmup_env_steps=500", "--set", "agent.policy.std=state_independent"],
    "dsac-t, target filter": ["--env", "Pendulum-v1", "--algo", "dsac-t-hybrid", "--config", "none", "--steps", "700"]
    + ["--set", "train.warmup_env_steps=500"]
    + ["--set", "agent.critic.target_filter={bandwidth=0.3}"],
    "sac, bfloat16": ["--env", "Pendulum-v1", "--config", "none", "--steps", "900", "--matmul-precision", "medium"]
    + ["--set", "train.warmup_env_steps=500"],
    "entity tokens": ["--env", "EntityReach-v0", "--config", "none", "--steps", "620"]
    + ["--set", "train.warmup_env_steps=600", "--set", "train.batch_size=32"],
}


def tensors(path):
    """Bytes of every tensor of a safetensors file."""
    data = path.read_bytes()
    header_len = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + header_len])
    for name, entry in header.items():
        if name != "__metadata__":
            start, end = entry["data_offsets"]
            yield name, data[8 + header_len + start : 8 + header_len + end]


def digest(sac, arguments):
    with tempfile.TemporaryDirectory() as folder:
        run = pathlib.Path(folder) / "run"
        command = [sac, "train", *arguments, "--seed", "3", "--threads", "1", "--quiet", "--run-dir", str(run)]
        command += ["--set", "eval.every=never", "--set", "log.every={env_steps=1000}"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            return f"not run: {done.stderr.strip().splitlines()[0]}"
        steps = max(int(path.name) for path in (run / "checkpoints").iterdir() if path.name.isdigit())
        parts = []
        for section in LEARNED:
            file = run / "checkpoints" / str(steps) / f"{section}.safetensors"
            if file.exists():
                parts += [hashlib.sha256(data).hexdigest() for _, data in tensors(file)]
    return hashlib.sha256("\n".join(sorted(parts)).encode()).hexdigest()


def processor():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


parser = argparse.ArgumentParser()
parser.add_argument("--sac", default=str(ROOT / "target/release/sac"))
parser.add_argument("--against", help="a file that this script printed: fails where digests differ")
parser.add_argument("--only", action="append", help="a name; may be given several times")
options = parser.parse_args()

found = {"processor": processor()}
for name, arguments in RUNS.items():
    if not options.only or name in options.only:
        found[name] = digest(options.sac, arguments)
        print(f"{name}: {found[name][:60]}", file=sys.stderr, flush=True)
if options.against:
    before = json.loads(pathlib.Path(options.against).read_text())
    apart = [name for name in found if before.get(name) != found[name]]
    print("all equal" if not apart else "different: " + ", ".join(apart))
    sys.exit(bool(apart))
print(json.dumps(found, indent=1))
