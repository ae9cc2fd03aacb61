"""The time of one action of a policy with two hidden layers of 256, on one core: our exports beside others.

    cargo build --release && cargo build --release -p sac-policy --example latency
    taskset -c 0 python benches/latency.py [--bin target/release] [--run RUN]

Needs gcc, and in Python numpy, onnx, onnxruntime, torch, gymnasium[mujoco] and stable_baselines3; what is missing is left
out. Without --run it trains a policy for HalfCheetah-v5 for a moment: its weights do not matter here. Each number is the
median over 50 blocks of 1,000 actions after 1,000 to warm up, nanoseconds for one action; the machine has to be idle.
"""

import argparse
import pathlib
import re
import statistics
import subprocess
import tempfile
import time

BLOCKS, ACTIONS, WARM_UP = 50, 1000, 1000

C_MAIN = """
#define _POSIX_C_SOURCE 199309L
#include "policy.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return (double)t.tv_sec * 1e9 + (double)t.tv_nsec; }
static int less(const void *a, const void *b) { return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b); }
int main(void)
{
    static float obs[SAC_POLICY_OBSERVATION], action[SAC_POLICY_ACTION];
    static double blocks[BLOCKS];
    float sum = 0.0f;
    for (int i = 0; i < SAC_POLICY_OBSERVATION; i++) obs[i] = 0.1f;
    for (int block = -1; block < BLOCKS; block++) {
        const int count = block < 0 ? WARM_UP : ACTIONS;
        const double started = now();
        for (int step = 0; step < count; step++) {
            obs[0] = (float)(step % 100) * 0.01f;
            if (sac_policy_act(obs, action) != SAC_POLICY_OK) return 1;
            sum += action[0];
        }
        if (block >= 0) blocks[block] = (now() - started) / count;
    }
    qsort(blocks, BLOCKS, sizeof blocks[0], less);
    printf("%.0f %g\\n", blocks[BLOCKS / 2], (double)sum);
    return 0;
}
"""


def run(*command, **options):
    return subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True, **options).stdout


def timed(act, obs):
    """The median time of one action in nanoseconds."""
    blocks = []
    for block in range(-1, BLOCKS):
        count = WARM_UP if block < 0 else ACTIONS
        started = time.perf_counter_ns()
        for step in range(count):
            obs[0, 0] = (step % 100) * 0.01
            act(obs)
        if block >= 0:
            blocks.append((time.perf_counter_ns() - started) / count)
    return statistics.median(blocks)


def c(folder, flags):
    (folder / "main.c").write_text(C_MAIN)
    defines = [f"-D{name}={value}" for name, value in (("BLOCKS", BLOCKS), ("ACTIONS", ACTIONS), ("WARM_UP", WARM_UP))]
    run("gcc", "-std=c99", *flags, *defines, "policy.c", "main.c", "-lm", "-o", "latency", cwd=folder)
    return float(run(folder / "latency").split()[0])


def c_sizes(folder):
    """Bytes of code, constants and working memory of the compiled policy, and of stack."""
    run("gcc", "-std=c99", "-Os", "-fstack-usage", "-c", "policy.c", "-o", "policy.o", cwd=folder)
    stack = sum(int(line.split("\t")[1]) for line in (folder / "policy.su").read_text().splitlines())
    sections = {}
    for name, size in re.findall(r"^(\.\S+)\s+(\d+)", run("size", "-A", folder / "policy.o"), re.MULTILINE):
        kind = next((kind for kind in (".text", ".rodata", ".data", ".bss") if name.startswith(kind)), None)
        if kind:
            sections[kind] = sections.get(kind, 0) + int(size)
    return sections, stack


def onnx_runtime(folder):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(folder / "policy.onnx"), options, providers=["CPUExecutionProvider"])
    return lambda obs: session.run(["action"], {"observation": obs})


def pytorch(inputs, outputs):
    import torch

    torch.set_num_threads(1)
    layers = [torch.nn.Linear(inputs, 256), torch.nn.ReLU(), torch.nn.Linear(256, 256), torch.nn.ReLU()]
    network = torch.nn.Sequential(*layers, torch.nn.Linear(256, outputs), torch.nn.Tanh())

    @torch.no_grad()
    def act(obs):
        return network(torch.from_numpy(obs)).numpy()

    return act


def stable_baselines3():
    import torch
    from stable_baselines3 import SAC

    torch.set_num_threads(1)
    model = SAC("MlpPolicy", "HalfCheetah-v5", policy_kwargs={"net_arch": [256, 256]}, device="cpu", buffer_size=10)
    return lambda obs: model.predict(obs, deterministic=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=pathlib.Path, default=pathlib.Path("target/release"))
    parser.add_argument("--run", type=pathlib.Path)
    arguments = parser.parse_args()
    sac = (arguments.bin / "sac").resolve()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        source = arguments.run and arguments.run.resolve()
        if not source:
            source = folder / "run"
            short = ["--steps", "300", "--set", "train.warmup_env_steps=200", "--set", "eval.every='never'", "--quiet"]
            run(sac, "train", "--env", "HalfCheetah-v5", "--config", "none", "--run-dir", source, *short)
        for format, name in (("safetensors", "policy.safetensors"), ("c", "policy.c"), ("onnx", "policy.onnx")):
            run(sac, "export", source, "--format", format, "--out", folder / name)

        import numpy as np

        define = lambda name: int(re.search(rf"{name} (\d+)", (folder / "policy.h").read_text())[1])
        inputs, outputs = define("SAC_POLICY_OBSERVATION"), define("SAC_POLICY_ACTION")
        obs = np.full((1, inputs), 0.1, np.float32)
        measured = {
            "C, gcc -O3 -march=native": lambda: c(folder, ["-O3", "-march=native"]),
            "C, gcc -O3": lambda: c(folder, ["-O3"]),
            "sac-policy": lambda: float(run(arguments.bin / "examples/latency", folder / "policy.safetensors")),
            "ONNX Runtime": lambda: timed(onnx_runtime(folder), obs),
            "PyTorch": lambda: timed(pytorch(inputs, outputs), obs),
            "Stable-Baselines3 predict": lambda: timed(stable_baselines3(), obs),
        }
        print("| | ns for one action |\n|---|---|")
        for name, measure in measured.items():
            try:
                print(f"| {name} | {measure():,.0f} |")
            except ImportError as error:
                print(f"| {name} | left out: {error} |")
        sections, stack = c_sizes(folder)
        print(f"\nC at -Os: {sections}, at most {stack} bytes of stack beside math.h")
        for name in ("policy.safetensors", "policy.onnx", "policy.c"):
            print(f"{name}: {(folder / name).stat().st_size:,} bytes")


main()
