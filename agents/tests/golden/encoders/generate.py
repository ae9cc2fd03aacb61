"""Golden numbers of encoders: features, and the gradients of a weighted sum of them. See ../README.md.

Run with torch 2.11.0: python generate.py > data.json; python generate.py dopamine > dopamine.json

Our own derivation in double precision, written the slow way: a loop over experts and slots, over heads, over tokens.
Convolutions, layer norm and softmax are PyTorch's, or written out where that is one line.
"""

import itertools
import json
import math
import sys

import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)
BATCH = 3


def short(values):
    """Nine digits, which tell all numbers of single precision apart."""
    return [float(f"{value:.9g}") for value in values.flatten().tolist()]


def f32(tensor):
    """Round to single precision, so that both sides start from the same numbers."""
    return tensor.float().double()


class Parameters(dict):
    def __call__(self, name, *shape, scale=0.5, around=0.0):
        self[name] = f32(torch.randn(*shape) * scale + around).requires_grad_()
        return self[name]

    def linear(self, name, inputs, outputs, bias=True):
        weight = self(f"{name}.weight", inputs, outputs)
        shift = self(f"{name}.bias", outputs) if bias else 0.0
        return lambda x: x @ weight + shift

    def norm(self, name, width, eps):
        gain, shift = self(f"{name}.gain", width, around=1.0, scale=0.2), self(f"{name}.shift", width)

        def apply(x):
            centred = x - x.mean(dim=-1, keepdim=True)
            return centred / (centred.square().mean(dim=-1, keepdim=True) + eps).sqrt() * gain + shift

        return apply


def attention(p, name, width, heads, divisor):
    parts = {part: p(f"{name}.{part}.weight", width, width) for part in ["query", "key", "value", "output"]}
    size = width // heads

    def apply(queries, tokens):
        rows = []
        for b in range(tokens.shape[0]):
            q, k, v = queries[b] @ parts["query"], tokens[b] @ parts["key"], tokens[b] @ parts["value"]
            found = []
            for h in range(heads):
                mine = slice(h * size, (h + 1) * size)
                weights = torch.softmax(q[:, mine] @ k[:, mine].T / math.sqrt(divisor), dim=1)
                found.append(weights @ v[:, mine])
            rows.append(torch.cat(found, dim=1) @ parts["output"])
        return torch.stack(rows)

    return apply


def soft_moe(p, spec, width, drawn):
    experts, slots = spec.get("experts", 4), spec.get("slots_per_expert", 1)
    slots = 2 if slots == "by_tokens" else slots  # for five tokens and three experts
    hidden, depth = spec.get("expert_width", 128), spec.get("expert_depth", 1)
    phi = p("encoder.mixer.phi", width, experts * slots)
    is_normalized = spec.get("normalize", True)
    scale = p("encoder.mixer.scale", 1, around=1.5) if is_normalized else None
    sizes = [width] + [hidden] * depth + [width]
    layers = [
        (p(f"encoder.mixer.{i}.weight", experts, a, b), p(f"encoder.mixer.{i}.bias", experts, 1, b))
        for i, (a, b) in enumerate(zip(sizes, sizes[1:]))
    ]

    def apply(tokens):
        batch, count, _ = tokens.shape
        noise = torch.zeros(batch, count, experts * slots)
        if spec.get("logit_noise", 0.0) > 0.0:
            eps = f32(torch.randn(batch, count, experts * slots))
            drawn.extend(eps.flatten().tolist())
            noise = eps * spec["logit_noise"]
        length = lambda x: (x.square().sum() + 1e-6).sqrt() if is_normalized else 1.0
        columns = [(scale[0] if is_normalized else 1.0) * column / length(column) for column in phi.T]
        out = []
        for b in range(batch):
            x = tokens[b]
            logits = torch.stack(
                [torch.stack([x_i @ c / length(x_i) for c in columns]) for x_i in x]
            )
            logits = logits + noise[b]
            answers = []
            for s in range(experts * slots):
                weight = torch.exp(logits[:, s]) / torch.exp(logits[:, s]).sum()
                y = sum(weight[i] * x[i] for i in range(count))
                for i, (w, shift) in enumerate(layers):
                    y = y @ w[s // slots] + shift[s // slots, 0]
                    y = torch.relu(y) if i < depth else y
                answers.append(y)
            combine = torch.exp(logits) / torch.exp(logits).sum(dim=1, keepdim=True)
            out.append(torch.stack([sum(c * y for c, y in zip(row, answers)) for row in combine]))
        return torch.stack(out)

    return apply


def token_mlp(p, spec, width):
    up = p.linear("encoder.mixer.hidden", width, spec["hidden"])
    down = p.linear("encoder.mixer.output", spec["hidden"], width)
    return lambda x: torch.stack([down(torch.relu(up(x[:, i]))) for i in range(x.shape[1])], dim=1)


def transformer(p, spec, width):
    heads, hidden = spec["heads"], spec["hidden"]
    layers = []
    for i in range(spec["layers"]):
        name = f"encoder.mixer.{i}"
        layers.append(
            (
                p.norm(f"{name}.attention_norm", width, 1e-5),
                attention(p, f"{name}.attention", width, heads, width // heads),
                p.norm(f"{name}.hidden_norm", width, 1e-5),
                p.linear(f"{name}.hidden", width, hidden),
                p.linear(f"{name}.output", hidden, width),
            )
        )

    def apply(x):
        for first, attend, second, up, down in layers:
            x = x + attend(first(x), first(x))
            h = up(second(x))
            x = x + down(h * 0.5 * (1.0 + torch.erf(h / math.sqrt(2.0))))
        return x

    return apply


def pooling(p, spec, width):
    kind = spec["kind"]
    if kind == "flatten":
        return lambda x: x.reshape(x.shape[0], -1)
    if kind == "mean":
        return lambda x: x.sum(dim=1) / x.shape[1]
    if kind == "max":
        return lambda x: x.max(dim=1).values
    if kind == "cls":
        return lambda x: x[:, 0]
    if kind == "simpool":
        norm = p.norm("encoder.pooling.norm", width, 1e-6)
        query = p.linear("encoder.pooling.query", width, width, bias=False)
        key = p.linear("encoder.pooling.key", width, width, bias=False)

        def simpool(x):
            v, rows = norm(x), []
            for b in range(x.shape[0]):
                u = query(x[b].mean(dim=0))
                a = torch.softmax(torch.stack([key(v_i) @ u / math.sqrt(width) for v_i in v[b]]), dim=0)
                rows.append(sum(a_i * v_i for a_i, v_i in zip(a, v[b])))
            return torch.stack(rows)

        return simpool
    attend = attention(p, "encoder.pooling", width, spec.get("heads", 1), width)
    asks = spec.get("query", "mean")
    learned = p("encoder.pooling.asks", width) if asks == "learned" else None

    def adapool(x):
        if asks == "mean":
            return attend(x.mean(dim=1, keepdim=True), x)[:, 0]
        if asks == "learned":
            return attend(torch.stack([learned[None]] * x.shape[0]), x)[:, 0]
        q = x[:, asks["index"] : asks["index"] + 1]
        return attend(q, x)[:, 0] + q[:, 0]

    return adapool


def convolutions(p, spec, channels):
    """The three stacks, by their papers' tables."""
    wider = lambda c: max(1, int(c * spec["channel_multiplier"] + 0.5))
    has_norm = spec.get("layer_norm", False)

    def conv(name, inputs, outputs, k, stride, padding, norm):
        w, b = p(f"encoder.conv.{name}.weight", outputs, inputs, k, k, scale=0.2), p(f"encoder.conv.{name}.bias", outputs)
        gain = p(f"encoder.conv.{name}.gain", outputs, around=1.0) if norm else None
        shift = p(f"encoder.conv.{name}.shift", outputs) if norm else None

        def apply(x):
            x = F.conv2d(x, w, b, stride=stride, padding=padding)
            if norm:
                centred = x - x.mean(dim=(1, 2, 3), keepdim=True)
                x = centred / (centred.square().mean(dim=(1, 2, 3), keepdim=True) + 1e-5).sqrt()
                x = x * gain[:, None, None] + shift[:, None, None]
            return x

        return apply

    if spec["architecture"] == "impala":
        sections = []
        for i, c in enumerate([16, 32, 32]):
            opening = conv(f"{i}", channels, wider(c), 3, 1, 1, has_norm)
            channels = wider(c)
            blocks = []
            for j in range(2):
                first = conv(f"{i}.{j}.first", channels, channels, 3, 1, 1, False)
                blocks.append((first, conv(f"{i}.{j}.second", channels, channels, 3, 1, 1, False)))
            sections.append((opening, blocks))

        def impala(x):
            for opening, blocks in sections:
                x = F.max_pool2d(opening(x), 3, stride=2, padding=1)
                for first, second in blocks:
                    x = x + second(torch.relu(first(torch.relu(x))))
            return torch.relu(x)

        return impala, channels
    table = {
        "nature": [(32, 8, 4), (64, 4, 2), (64, 3, 1)],
        "drq": [(32, 3, 2), (32, 3, 1), (32, 3, 1), (32, 3, 1)],
    }[spec["architecture"]]
    layers = []
    for i, (c, k, stride) in enumerate(table):
        layers.append(conv(f"{i}", channels, wider(c), k, stride, 0, has_norm))
        channels = wider(c)

    def plain(x):
        for layer in layers:
            x = torch.relu(layer(x))
        return x

    return plain, channels


def patches(x, size):
    """Averages over squares, over what is there at the far edges."""
    _, _, height, width = x.shape
    corners = itertools.product(range(0, height, size), range(0, width, size))
    return torch.stack([x[:, :, i : i + size, j : j + size].mean(dim=(2, 3)) for i, j in corners], dim=1)


def tokenizer(p, spec, obs):
    rule = spec["tokenization"]
    kind, width = rule["kind"], spec.get("width")
    if spec["kind"] == "conv":
        trunk, channels = convolutions(p, spec, obs.shape[1])
        scale = 255.0
        with torch.no_grad():
            map_shape = trunk(obs / scale).shape
        cut = {
            "per_conv": lambda x: torch.stack([x[:, :, i, j] for i in range(x.shape[2]) for j in range(x.shape[3])], 1),
            "per_feature": lambda x: torch.stack([x[:, c].reshape(BATCH, -1) for c in range(x.shape[1])], 1),
            "per_patch": lambda x: patches(x, rule["size"]),
            "per_sample": lambda x: x.reshape(BATCH, 1, -1),
        }[kind]
        numbers = cut(torch.zeros(map_shape)).shape[2]
        embed = p.linear("encoder.tokens.embedding", numbers, width) if width else (lambda x: x)
        return (lambda x: embed(cut(trunk(x / scale)))), width or numbers
    if kind == "per_dimension":
        w, b = p("encoder.tokens.weight", obs.shape[1], width), p("encoder.tokens.bias", obs.shape[1], width)
        return (lambda x: torch.stack([x[:, j : j + 1] * w[j] + b[j] for j in range(x.shape[1])], 1)), width
    if kind == "chunks":
        hidden = p.linear("encoder.tokens.hidden", obs.shape[1], rule["hidden"])
        size = rule["hidden"] // rule["count"]
        embed = p.linear("encoder.tokens.embedding", size, width)
        cut = lambda h: torch.stack([h[:, i * size : (i + 1) * size] for i in range(rule["count"])], 1)
        return (lambda x: embed(cut(torch.relu(hidden(x))))), width
    shaped = (lambda x: x) if kind == "per_entity" else (lambda x: x.reshape(BATCH, 1, -1))
    embed = p.linear("encoder.tokens.embedding", shaped(obs).shape[2], width)
    return (lambda x: embed(shaped(x))), width


def case(name, spec, shape):
    is_image = len(shape) == 3
    obs = torch.randint(0, 256, (BATCH, *shape)).double() if is_image else f32(torch.randn(BATCH, *shape))
    obs.requires_grad_(not is_image)
    p, drawn = Parameters(), []
    tokens, width = tokenizer(p, spec, obs.detach())
    if spec.get("position_embedding") == "learned":
        with torch.no_grad():
            count = tokens(obs).shape[1]
        place, plain = p("encoder.tokens.position", count, width), tokens
        tokens = lambda x: torch.stack([plain(x)[:, i] + place[i] for i in range(count)], dim=1)
    cls = p("encoder.cls", width) if spec["pooling"]["kind"] == "cls" else None
    mixer = spec.get("mixer", {"kind": "none"})
    mix = {
        "none": lambda: lambda x: x,
        "mlp": lambda: token_mlp(p, mixer, width),
        "soft_moe": lambda: soft_moe(p, mixer, width, drawn),
        "transformer": lambda: transformer(p, mixer, width),
    }[mixer["kind"]]()
    pool = pooling(p, spec["pooling"], width)
    x = tokens(obs)
    if cls is not None:
        x = torch.cat([torch.stack([cls[None]] * BATCH), x], dim=1)
    features = pool(mix(x))
    if "projection" in spec:
        project = p.linear("encoder.projection", features.shape[1], spec["projection"])
        norm = p.norm("encoder.projection.norm", spec["projection"], 1e-5)
        features = torch.tanh(norm(project(features)))
    weights = f32(torch.randn(features.shape))
    (weights * features).sum().backward()
    return {
        "name": name,
        "spec": spec,
        "shape": shape,
        "obs": obs.int().flatten().tolist() if is_image else short(obs),
        "params": {k: {"shape": list(v.shape), "data": short(v)} for k, v in p.items()},
        "noise": drawn,
        "weights": short(weights),
        "features": short(features),
        "d_params": {k: short(v.grad) for k, v in p.items()},
        "d_obs": [] if is_image else short(obs.grad),
    }


def tokens(tokenization, pool, mixer=None, width=4, **more):
    spec = {"kind": "tokens", "tokenization": tokenization, "width": width, "pooling": pool} | more
    return spec | ({"mixer": mixer} if mixer else {})


def conv(stack, tokenization="per_conv", pool="flatten", **more):
    rule = {"kind": tokenization} if isinstance(tokenization, str) else tokenization
    return {"kind": "conv", "architecture": stack, "tokenization": rule, "pooling": {"kind": pool}} | more


torch.manual_seed(20250505)
ENTITY, SET = {"kind": "per_entity"}, [5, 3]
MOE = {"kind": "soft_moe", "experts": 3, "slots_per_expert": 2, "expert_width": 6, "expert_depth": 2}
kind = lambda name, **more: {"kind": name} | more
cases = [
    case("mean", tokens(ENTITY, kind("mean")), SET),
    case("max", tokens(ENTITY, kind("max")), SET),
    case("flatten", tokens(ENTITY, kind("flatten")), SET),
    case("one token of a set", tokens(kind("per_sample"), kind("mean")), SET),
    case("one token of a vector", tokens(kind("per_sample"), kind("mean"), projection=3), [6]),
    case("per dimension", tokens(kind("per_dimension"), kind("flatten")), [6]),
    case("chunks", tokens(kind("chunks", count=3, hidden=12), kind("flatten")), [6]),
    case("soft moe", tokens(ENTITY, kind("flatten"), MOE), SET),
    case("soft moe, noise", tokens(ENTITY, kind("mean"), MOE | {"logit_noise": 0.7}), SET),
    case("soft moe, one expert", tokens(ENTITY, kind("flatten"), kind("soft_moe", experts=1, expert_width=9)), SET),
    case("soft moe, one token", tokens(kind("per_sample"), kind("mean"), MOE), [6]),
    case("soft moe, cls", tokens(ENTITY, kind("cls"), MOE), SET),
    case("transformer", tokens(ENTITY, kind("flatten"), kind("transformer", layers=1, heads=2, hidden=7)), SET),
    case("transformer, cls", tokens(ENTITY, kind("cls"), kind("transformer", layers=2, heads=4, hidden=5)), SET),
    case("adapool, mean", tokens(ENTITY, kind("adapool", heads=2)), SET),
    case("adapool, index", tokens(ENTITY, kind("adapool", query={"index": 1})), SET),
    case("adapool, learned", tokens(ENTITY, kind("adapool", query="learned", heads=4)), SET),
    case("simpool", tokens(ENTITY, kind("simpool")), SET),
    case("nature", conv("nature", channel_multiplier=0.1), [2, 44, 52]),
    case("nature, norm", conv("nature", channel_multiplier=0.08, layer_norm=True), [1, 44, 44]),
    case("drq", conv("drq", channel_multiplier=0.1, projection=4), [2, 17, 15]),
    case("impala", conv("impala", channel_multiplier=0.15), [2, 9, 20]),
    case("impala, norm", conv("impala", channel_multiplier=0.1, layer_norm=True), [2, 9, 7]),
    case("per feature", conv("impala", "per_feature", "mean", channel_multiplier=0.1, mixer=MOE), [2, 9, 20]),
    case("per sample", conv("impala", "per_sample", "flatten", channel_multiplier=0.1, width=3), [2, 9, 20]),
    case(
        "per patch",
        conv("impala", {"kind": "per_patch", "size": 2}, "flatten", channel_multiplier=0.1, width=4, mixer=MOE),
        [2, 9, 20],
    ),
    case("mlp", tokens(ENTITY, kind("mean"), kind("mlp", hidden=7)), SET),
    case("positions", tokens(ENTITY, kind("cls"), MOE, position_embedding="learned"), SET),
    case(
        "positions of a map",
        conv("impala", channel_multiplier=0.1, mixer=kind("mlp", hidden=5), position_embedding="learned", pool="mean"),
        [2, 9, 20],
    ),
]
# Soft mixtures as in Dopamine. Five tokens and three experts: two slots each.
DOPAMINE = {"kind": "soft_moe", "experts": 3, "expert_width": 6, "normalize": False}
dopamine = [
    case("soft moe, not normalised", tokens(ENTITY, kind("flatten"), DOPAMINE | {"slots_per_expert": 2}), SET),
    case("soft moe, slots by tokens", tokens(ENTITY, kind("flatten"), DOPAMINE | {"slots_per_expert": "by_tokens"}), SET),
]
json.dump(dopamine if sys.argv[1:] == ["dopamine"] else cases, sys.stdout)
print()
