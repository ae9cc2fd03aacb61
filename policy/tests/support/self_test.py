"""Self-test of an ONNX model that `sac export` wrote, and actions for more observations.

    python self_test.py MODEL                     # digest of the weights, and the recorded actions
    python self_test.py MODEL OBSERVATIONS OUT    # raw numbers in, raw actions out, all float32
"""

import hashlib
import json
import sys

import numpy as np
import onnx
import onnxruntime


def load(path):
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    digest = hashlib.sha256()
    for tensor in model.graph.initializer:
        digest.update(tensor.name.encode())
        digest.update(tensor.raw_data)
    facts = {entry.key: entry.value for entry in model.metadata_props}
    if digest.hexdigest() != facts["weights_sha256"]:
        sys.exit("the weights are not those that were written")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"]), facts


def feed(session, columns):
    """The inputs of a session from arrays with one row for each observation."""
    inputs = {}
    for info in session.get_inputs():
        dtype = np.uint8 if info.type == "tensor(uint8)" else np.float32
        inputs[info.name] = np.asarray(columns[info.name], dtype).reshape([-1] + info.shape[1:])
    return inputs


def main():
    session, facts = load(sys.argv[1])
    if len(sys.argv) == 2:
        test = json.loads(facts["self_test"])
        (action,) = session.run(["action"], feed(session, test))
        error = np.abs(action - np.asarray(test["action"], np.float32)) / np.asarray(json.loads(facts["action_range"]))
        print(f"largest error of {len(action)} recorded actions: {error.max():.3e} of the range")
        sys.exit(0 if error.max() <= 1e-5 else 1)
    widths = [int(np.prod(info.shape[1:])) for info in session.get_inputs()]
    rows = np.fromfile(sys.argv[2], np.float32).reshape(-1, sum(widths))
    columns = np.split(rows, np.cumsum(widths)[:-1], axis=1)
    inputs = feed(session, {info.name: part for info, part in zip(session.get_inputs(), columns)})
    (action,) = session.run(["action"], inputs)
    action.astype(np.float32).tofile(sys.argv[3])


main()
