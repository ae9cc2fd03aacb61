"""Writes golden_statistics.json: statistics of rliable on scores of a data file and on generated ones.

    pip install rliable 'pandas<3'
    python report/tests/golden_statistics.py

Made with rliable 1.2.0.
"""

import json
import pathlib

import numpy as np
from rliable import library, metrics

here = pathlib.Path(__file__).parent
cases = []


def add(name, x, y):
    """x, y: a list of scores for each task, with as many runs in each."""
    as_rliable = lambda tasks: np.array(tasks, dtype=np.float64).T  # runs by tasks
    cases.append({
        "name": name,
        "x": x,
        "y": y,
        "iqm_x": float(metrics.aggregate_iqm(as_rliable(x))),
        "iqm_y": float(metrics.aggregate_iqm(as_rliable(y))),
        "median_x": float(metrics.aggregate_median(as_rliable(x))),
        "mean_x": float(metrics.aggregate_mean(as_rliable(x))),
        "optimality_gap_x": float(metrics.aggregate_optimality_gap(as_rliable(x))),
        "share_of_x_above_1": float(library.run_score_deviation(as_rliable(x), 1.0)),
        "probability_of_improvement": float(metrics.probability_of_improvement(as_rliable(x), as_rliable(y))),
        "iqm_x_interval": interval(as_rliable(x)),
    })


def interval(scores):
    """Of the interquartile mean: percentile bootstrap, stratified by task."""
    _, ends = library.get_interval_estimates(
        {"x": scores}, lambda scores: np.array([metrics.aggregate_iqm(scores)]), reps=20000,
        random_state=np.random.RandomState(0))
    return [float(end) for end in ends["x"].ravel()]


runs = json.load(open(here / "../../docs/curves/half_cheetah_dsac_t.json"))["runs"]
final = lambda run: float(np.mean(run["evaluations"]["mean_return"][-1:]))
scores = {label: [final(run) for run in runs if run["label"] == label] for label in ("SAC", "DSAC-T")}
add("half_cheetah_dsac_t", [scores["DSAC-T"]], [scores["SAC"]])

rng = np.random.default_rng(18)
for tasks, x_runs, y_runs in [(1, 3, 3), (1, 5, 4), (1, 10, 10), (1, 20, 7), (3, 5, 5), (7, 10, 10), (6, 3, 11)]:
    # Rounded, so that there are ties.
    draw = lambda n: [[round(float(v), 1) for v in rng.normal(task, 1.0, n)] for task in range(tasks)]
    add(f"{tasks} tasks, {x_runs} against {y_runs} runs", draw(x_runs), draw(y_runs))

json.dump(cases, open(here / "golden_statistics.json", "w"), indent=1)
