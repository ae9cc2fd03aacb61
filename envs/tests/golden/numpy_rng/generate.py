"""Golden numbers for `sac_envs::NumpyRng` and `Space::gymnasium_sample`.

Usage: python generate.py > data.json        (numpy 2.4, gymnasium 1.4.0; small, committed)
       python generate.py --draws 50000000 > big.json   (not committed; then
       SAC_PARITY_DRAWS=$PWD/big.json cargo test -p sac-envs --test all parity)
Floats are printed so that they read back to the same bits; integers beyond 2^53 as hexadecimal strings.
"""

import argparse
import json

import numpy as np
from gymnasium import spaces

SEEDS = [0, 1, 42, 2**32 - 1, 2**32, 2**64 - 1]


def generators():
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        bits = rng.bit_generator
        yield {
            "seed": hex(seed),
            "next_u64": [hex(int(x)) for x in bits.random_raw(4)],
            "random": [float(x) for x in rng.random(4)],
            "uniform_-2_5": [float(x) for x in rng.uniform(-2.0, 5.0, 4)],
            # Three 32-bit draws leave half a word in the buffer, which the next small integer takes up.
            "integers_10": [int(rng.integers(10)) for _ in range(3)],
            "random_between": float(rng.random()),
            "integers_1000003": [int(rng.integers(1000003)) for _ in range(4)],
            "integers_2**32": [int(rng.integers(2**32)) for _ in range(2)],
            "integers_2**40": [int(rng.integers(2**40)) for _ in range(2)],
            "integers_3*2**30": [int(rng.integers(3 * 2**30)) for _ in range(9)],
            "standard_normal": [float(x) for x in rng.standard_normal(6)],
            "standard_exponential": [float(x) for x in rng.standard_exponential(6)],
        }


def rare_branches(draws):
    """Sums over many draws visit the wedges and the tails; the xor of all bit patterns notices any single change."""
    rng = np.random.default_rng(7)
    normal, exponential = rng.standard_normal(draws), rng.standard_exponential(draws)
    fold = lambda x: hex(int(np.bitwise_xor.reduce(x.view(np.uint64))))
    return {
        "seed": 7,
        "draws": draws,
        "normal_xor": fold(normal),
        "normal_max": float(np.abs(normal).max()),
        "exponential_xor": fold(exponential),
        "exponential_max": float(exponential.max()),
    }


def samples():
    inf = np.inf
    low, high = [-inf, -1.0, -inf, 0.5, -3.0], [inf, 2.0, 4.0, inf, 7.0]
    box = lambda low, high: spaces.Box(np.array(low, np.float32), np.array(high, np.float32), dtype=np.float32)
    cases = {
        "bounded": ([-2.0], [2.0], box([-2.0], [2.0])),
        "unbounded": ([-inf] * 3, [inf] * 3, box([-inf] * 3, [inf] * 3)),
        "mixed": (low, high, box(low, high)),
        "bytes": ([0.0] * 4, [255.0] * 4, spaces.Box(0, 255, (4,), np.uint8)),
    }
    for name, (low, high, space) in cases.items():
        space.seed(5)
        draws = [[float(x) for x in space.sample()] for _ in range(5)]
        text = lambda bounds: [str(b) for b in bounds]
        yield {"space": name, "low": text(low), "high": text(high), "seed": 5, "draws": draws}
    for n in (2, 7):
        space = spaces.Discrete(n)
        space.seed(5)
        yield {"space": "discrete", "n": [n], "seed": 5, "draws": [[float(space.sample())] for _ in range(12)]}
    space = spaces.MultiDiscrete([3, 5])
    space.seed(5)
    draws = [[float(x) for x in space.sample()] for _ in range(6)]
    yield {"space": "multi_discrete", "n": [3, 5], "seed": 5, "draws": draws}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--draws", type=int, default=200_000)
    arguments = parser.parse_args()
    data = {
        "numpy": np.__version__,
        "generators": list(generators()),
        "rare_branches": rare_branches(arguments.draws),
        "samples": list(samples()),
    }
    print(json.dumps(data, indent=1))
