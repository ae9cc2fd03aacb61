"""Self-test of an ONNX model that `sac export` wrote, and actions for more observations.

    python self_test.py MODEL                           # digest of the weights, and the recorded actions
    python self_test.py MODEL NUMBERS ACTIONS [...]     # files of raw float32: observations (and noise) in, actions out
    python self_test.py MODEL serve                     # the same through stdin and stdout, one observation at a time
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


def self_test(path):
    session, facts = load(path)
    test = json.loads(facts["self_test"])
    (action,) = session.run(["action"], feed(session, test))
    error = np.abs(action - np.asarray(test["action"], np.float32)) / np.asarray(json.loads(facts["action_range"]))
    print(f"largest error of {len(action)} recorded actions: {error.max():.3e} of the range")
    return 0 if error.max() <= 1e-5 else 1


def act(session, numbers):
    """Actions for rows of observations, each followed by its noise."""
    widths = [int(np.prod(info.shape[1:])) for info in session.get_inputs()]
    columns = np.split(numbers.reshape(-1, sum(widths)), np.cumsum(widths)[:-1], axis=1)
    inputs = feed(session, {info.name: part for info, part in zip(session.get_inputs(), columns)})
    return session.run(["action"], inputs)[0].astype(np.float32)


def serve(path):
    session, _ = load(path)
    row_bytes = 4 * sum(int(np.prod(info.shape[1:])) for info in session.get_inputs())
    while row := sys.stdin.buffer.read(row_bytes):
        sys.stdout.buffer.write(act(session, np.frombuffer(row, np.float32)).tobytes())
        sys.stdout.buffer.flush()


def main():
    arguments = sys.argv[1:]
    if len(arguments) == 1:
        sys.exit(self_test(arguments[0]))
    if arguments[1] == "serve":
        serve(arguments[0])
        return
    for model, numbers, actions in zip(arguments[::3], arguments[1::3], arguments[2::3]):
        session, _ = load(model)
        act(session, np.fromfile(numbers, np.float32)).tofile(actions)


main()
