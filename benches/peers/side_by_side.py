"""Updates per second, and seconds of a whole run, of `sac`, Stable-Baselines3, SBX and FlashSAC's own code, in turn on one machine.

    cargo build --release
    python3 -m venv peers/sb3 && peers/sb3/bin/pip install torch==2.11.0 stable-baselines3==2.9.2 "gymnasium[mujoco]==1.4.0"
    python3 -m venv peers/sbx && peers/sbx/bin/pip install torch==2.11.0 --no-deps
    peers/sbx/bin/pip install sbx-rl==0.28.0 "gymnasium[mujoco]==1.4.0"
    python3 benches/peers/side_by_side.py update --sb3 peers/sb3/bin/python --sbx peers/sbx/bin/python
    python3 benches/peers/side_by_side.py update --algo crossq --sbx peers/sbx/bin/python
    python3 benches/peers/side_by_side.py update --algo flashsac --flashsac peers/sb3/bin/python --code peers/flashsac
    python3 benches/peers/side_by_side.py train HalfCheetah-v5 --sb3 peers/sb3/bin/python --sbx peers/sbx/bin/python

Rounds take turns; the table has medians, and medians of each round's ratio of `sac` to the peer. Peers that are not given
are left out. `sac` trains as its users have it, its log, scores and checkpoints included, with an evaluation only at the end
(`--set eval.every=never` takes that one too), since the peers do not evaluate. Networks are alike: two layers of 256, and of
1024 for the critics of CrossQ; TQC has two critics. FlashSAC has its published sizes, and observations and actions of
Humanoid-v5; `with_flashsac.py` says what its code needs.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent

parser = argparse.ArgumentParser()
parser.add_argument("what", choices=["update", "train"])
parser.add_argument("env", nargs="?", default="HalfCheetah-v5")
parser.add_argument("--algo", choices=["sac", "droq", "tqc", "crossq", "flashsac"], default="sac")
parser.add_argument("--sac", default=str(ROOT / "target/release/sac"))
parser.add_argument("--sb3")
parser.add_argument("--sbx")
parser.add_argument("--flashsac")
parser.add_argument("--code", help="checkout of FlashSAC")
parser.add_argument("--matmul-precision", default="highest", help="of `sac`")
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--seconds", type=float, default=4.0)
parser.add_argument("--steps", type=int, default=20_000)
arguments = parser.parse_args()
if arguments.algo != "sac" and (arguments.what == "train" or arguments.sb3):
    parser.error("--algo is for updates of `sac`, SBX and FlashSAC")
if (arguments.algo == "flashsac") != bool(arguments.flashsac and arguments.code):
    parser.error("--algo flashsac takes --flashsac and --code, and others do not")

# Settings that make the networks of `sac` those of `with_sbx.py`.
ALIKE = {
    "sac": [],
    "droq": [],
    "tqc": ["agent.critic.members=2", "agent.critic_body.hidden=[256,256]"],
    "crossq": ["agent.critic_body.hidden=[1024,1024]"],
    "flashsac": [],
}
SIZES = {"flashsac": ["--obs-dim", "348", "--act-dim", "17", "--batch", "512"]}


def last_json(command):
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return json.loads(printed.strip().splitlines()[-1])


def rate(peer):
    """Updates, or env steps of training, per second."""
    threads, seconds, steps = (str(x) for x in (arguments.threads, arguments.seconds, arguments.steps))
    pinned = ["taskset", "-c", "0"] if arguments.threads == 1 else []
    if peer == "sac" and arguments.what == "update":
        command = [arguments.sac, "bench", "update", "--algo", arguments.algo, "--threads", threads, "--seconds", seconds]
        alike = [word for setting in ALIKE[arguments.algo] for word in ("--set", setting)]
        sizes = [*SIZES.get(arguments.algo, []), "--matmul-precision", arguments.matmul_precision]
        return last_json([*command, *alike, *sizes, "--json"])["updates_per_second"]
    if peer == "flashsac":
        command = [arguments.flashsac, str(HERE / "with_flashsac.py"), "--code", arguments.code]
        return last_json([*pinned, *command, "--threads", threads, "--seconds", seconds])["updates_per_second"]
    if peer == "sac":
        with tempfile.TemporaryDirectory() as folder:
            told = last_json(
                [arguments.sac, "train", "--env", arguments.env, "--config", "none", "--threads", threads]
                + ["--steps", steps, "--set", "train.warmup_env_steps=1000", "--set", "eval.every=never"]
                + ["--run-dir", f"{folder}/run", "--quiet", "--json"]
            )
        return told["env_steps"] / told["seconds"]
    if peer == "sb3":
        command = [arguments.sb3, str(HERE / "with_sb3.py"), arguments.what, arguments.env, "--threads", threads]
    else:
        command = [arguments.sbx, str(HERE / "with_sbx.py"), arguments.what, arguments.env, "--algo", arguments.algo]
    told = last_json(pinned + command + ["--seconds", seconds, "--steps", steps])
    return told["updates_per_second"] if arguments.what == "update" else told["env_steps"] / told["seconds"]


peers = ["sac"] + [name for name in ("sb3", "sbx", "flashsac") if getattr(arguments, name)]
rounds = []
for number in range(arguments.rounds):
    rounds.append({peer: rate(peer) for peer in peers})
    print(f"round {number + 1}: " + ", ".join(f"{peer} {value:.1f}" for peer, value in rounds[-1].items()), flush=True)
unit = "updates/s" if arguments.what == "update" else f"env steps/s of {arguments.env}"
print(f"\n| | {unit}, {arguments.threads} thread(s) | `sac` to it |\n|---|---|---|")
for peer in peers:
    median = statistics.median(row[peer] for row in rounds)
    ratio = statistics.median(row["sac"] / row[peer] for row in rounds)
    print(f"| {peer} | {median:.1f} | {ratio:.2f} |")
