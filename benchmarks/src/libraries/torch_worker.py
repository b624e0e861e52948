"""PyTorch on the CPU: the process of one library, as process/protocol.ts describes it.

Orders come on file descriptor 3, answers go to 4, one JSON object a line. Trees of numbers are JSON in which an array is
a place in a binary file (process/exchange.ts). Argument: the number of threads.
"""
import ctypes
import json
import math
import os
import sys
import time

import numpy
import torch
import torch.nn.functional as F


def blas_name():
    """The BLAS library that is loaded, its version and the kernels that it chose, and its threads."""
    with open("/proc/self/maps") as maps:
        loaded = {line.split()[-1] for line in maps if "/" in line}
    for path in sorted(loaded):
        file = os.path.basename(path)
        if "mkl_core" in file or "mkl_rt" in file:
            return file
        if file.startswith(("libopenblas", "libscipy_openblas")):
            library = ctypes.CDLL(path)
            library.openblas_get_config.restype = ctypes.c_char_p
            config = library.openblas_get_config().decode().strip()
            return f"{config}, {library.openblas_get_num_threads()} threads"
    plain = [os.path.basename(path) for path in loaded if "blas" in path]
    return plain[0] if plain else "a BLAS of its own"


def tree(described, numbers):
    """The tree that was sent, with tensors; `{shape, data}` becomes one tensor."""
    if isinstance(described, list):
        return [tree(item, numbers) for item in described]
    if not isinstance(described, dict):
        return described
    data = described.get("data")
    if isinstance(data, dict) and "offset" in data:
        dtype = numpy.float32 if data["dtype"] == "f32" else numpy.int32
        own = numbers[data["offset"] : data["offset"] + data["length"]].view(dtype).copy()
        array = torch.from_numpy(own).reshape(described["shape"])
        return array if data["dtype"] == "f32" else array.long()
    return {key: tree(item, numbers) for key, item in described.items()}


def leaves(params):
    if isinstance(params, torch.Tensor):
        return [params]
    items = params.values() if isinstance(params, dict) else params
    return [leaf for item in items for leaf in leaves(item)]


def trainable(params):
    """The leaves, from now on with gradients."""
    return [leaf.requires_grad_() for leaf in leaves(params)]


class Repeated:
    """The same function again and again; it returns a list of tensors."""

    def __init__(self, function):
        self.function = function

    def run(self):
        return self.function()[0].flatten()[0].item()

    def values(self):
        return torch.cat([result.detach().flatten() for result in self.function()])


class Forward(Repeated):
    def __init__(self, function):
        def without_gradients():
            with torch.inference_mode():
                return [function()]

        super().__init__(without_gradients)


class Training:
    """Steps of an optimizer on a loss."""

    def __init__(self, params, loss, optimizer, before=None, after=None):
        self.params, self.loss, self.optimizer, self.before, self.after = params, loss, optimizer, before, after

    def run(self):
        self.optimizer.zero_grad(set_to_none=True)
        value = self.loss()
        value.backward()
        if self.before:
            self.before()
        self.optimizer.step()
        if self.after:
            self.after()
        return value.item()

    def values(self):
        return torch.cat([leaf.detach().flatten() for leaf in self.params])


def linear(x, p):
    return F.linear(x, p["weight"].T, p["bias"])


def norm(x, p):
    return F.layer_norm(x, x.shape[-1:], p["gain"], p["bias"], 1e-5)


def scaled_attention(query, key, value, mask=None):
    """[batch, tokens, heads, dim] -> the same."""
    query, key, value = (x.transpose(1, 2) for x in (query, key, value))
    scores = torch.matmul(query * query.shape[-1] ** -0.5, key.transpose(2, 3))
    if mask is not None:
        scores = scores + mask
    return torch.matmul(scores.softmax(-1), value).transpose(1, 2)


def block(x, p, heads, activation=F.gelu, mask=None, turn=None):
    def in_heads(name):
        return linear(normal, p["attention"][name]).unflatten(-1, (heads, -1))

    normal = norm(x, p["ln1"])
    query, key, value = in_heads("query"), in_heads("key"), in_heads("value")
    if turn:
        query, key = turn(query), turn(key)
    x = x + linear(scaled_attention(query, key, value, mask).flatten(2), p["attention"]["out"])
    return x + linear(activation(linear(norm(x, p["ln2"]), p["mlp"]["up"])), p["mlp"]["down"])


def quick_gelu(x):
    return x * torch.sigmoid(1.702 * x)


def image_tower(p, images, patch_size, heads, activation):
    """[batch, side, side, 3] -> [batch, outputs], not normalized."""
    batch, side = images.shape[:2]
    count = side // patch_size
    patches = images.reshape(batch, count, patch_size, count, patch_size, 3).transpose(2, 3)
    embedded = torch.matmul(patches.reshape(batch, count * count, -1), p["patches"])
    width = embedded.shape[-1]
    x = torch.cat([p["classToken"].expand(batch, 1, width), embedded], 1) + p["positions"]
    x = norm(x, p["lnPre"])
    for own in p["blocks"]:
        x = block(x, own, heads, activation)
    return torch.matmul(norm(x[:, 0], p["lnPost"]), p["projection"])


def rotary(tokens, dim):
    """Turns interleaved pairs of [batch, tokens, heads, dim] by their position."""
    frequencies = 10000.0 ** (-torch.arange(0, dim, 2, dtype=torch.float64) / dim)
    angles = torch.outer(torch.arange(tokens, dtype=torch.float64), frequencies)[:, None]
    cos, sin = angles.cos().float(), angles.sin().float()

    def turn(x):
        even, odd = x[..., 0::2], x[..., 1::2]
        return torch.stack([even * cos - odd * sin, even * sin + odd * cos], -1).flatten(-2)

    return turn


def text_tower(p, ids, heads):
    """Ids [batch, tokens] -> [batch, outputs], causal, rotary, not normalized."""
    x = F.embedding(ids, p["tokens"])
    tokens, width = x.shape[1:]
    mask = torch.full((tokens, tokens), -math.inf).triu(1)
    turn = rotary(tokens, width // heads)
    for own in p["blocks"]:
        x = block(x, own, heads, mask=mask, turn=turn)
    pooled = x[torch.arange(len(ids)), ids.argmax(-1)]
    return torch.matmul(norm(pooled, p["lnFinal"]), p["projection"])


def nested(record):
    """`{"a.0.b": x}` as `{"a": [{"b": x}]}`."""
    grown = {}
    for path, value in record.items():
        *parents, name = path.split(".")
        node = grown
        for parent in parents:
            node = node.setdefault(parent, {})
        node[name] = value

    def lists(node):
        if not isinstance(node, dict):
            return node
        items = {key: lists(value) for key, value in node.items()}
        return list(items.values()) if items and all(key.isdigit() for key in items) else items

    return lists(grown)


def info_nce(anchors, positives, scale):
    return F.cross_entropy(anchors @ positives.T * scale, torch.arange(len(anchors)))


def clip_loss(images, texts, scale):
    return 0.5 * (info_nce(images, texts, scale) + info_nce(texts, images, scale))


def triplet_clip(source, target, scale):
    """TripletCLIP (Patel et al. 2024, eq. 4); source and target are (anchors, positives)."""

    def neg_clip(anchors, positives, negatives):
        with_negatives = info_nce(anchors, torch.cat([positives, negatives]), scale)
        return info_nce(positives, anchors, scale) + with_negatives

    return neg_clip(*source, target[1]) + neg_clip(*target, source[1])


def clip_in_step(p):
    params, batch, settings = nested(p["params"]), p["batch"], p["optimizer"]
    params["image"]["patches"] = params["image"]["patches"]["weight"]
    params["text"]["tokens"] = params["text"]["tokens"]["weight"]
    all_leaves = trainable(params)
    triplets, edits = len(batch["images"]), len(batch["sourceImages"])

    def images_of(x):
        return F.normalize(image_tower(params["image"], x, p["patchSize"], p["heads"]["image"], F.gelu), dim=-1)

    def texts_of(ids):
        return F.normalize(text_tower(params["text"], ids, p["heads"]["text"]), dim=-1)

    def loss():
        scale = params["logitScale"].exp()
        images = images_of(torch.cat([batch["images"], batch["sourceImages"], batch["targetImages"]]))
        texts = texts_of(torch.cat([batch["short"], batch["sourceText"], batch["targetText"]]))
        image, image_s, image_t = images.split([triplets, edits, edits])
        text, text_s, text_t = texts.split([triplets, edits, edits])
        short = clip_loss(image, text, scale)
        long = clip_loss(image, texts_of(batch["long"]), scale)
        hard = triplet_clip((image_s, text_s), (image_t, text_t), scale)
        hard = hard + triplet_clip((text_s, image_s), (text_t, image_t), scale)
        return short + long + p["hardNegativeWeight"] * hard

    optimizer = torch.optim.AdamW(
        [
            {"params": [leaf for leaf in all_leaves if leaf.dim() >= 2], "weight_decay": settings["weightDecay"]},
            {"params": [leaf for leaf in all_leaves if leaf.dim() < 2], "weight_decay": 0.0},
        ],
        lr=settings["learningRate"],
        betas=tuple(settings["betas"]),
        eps=settings["epsilon"],
        foreach=True,
    )
    steps, warmup = settings["steps"], settings["warmup"]

    def factor(done):
        if done < warmup:
            return (done + 1) / warmup
        return 0.5 * (1 + math.cos(math.pi * min(1, (done - warmup) / (steps - warmup))))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)

    def after():
        schedule.step()
        with torch.no_grad():
            params["logitScale"].clamp_(max=math.log(100))

    def clip():
        torch.nn.utils.clip_grad_norm_(all_leaves, settings["clipNorm"])

    # Only the losses are compared, as in clip-in-step.ts.
    return Training([torch.zeros(0)], loss, optimizer, before=clip, after=after)


def product(p):
    a = p["a"].transpose(-1, -2) if p["transposeA"] else p["a"]
    b = p["b"].transpose(-1, -2) if p["transposeB"] else p["b"]
    return Forward(lambda: torch.matmul(a, b))


def cross_entropy(p):
    logits = p["logits"].requires_grad_()

    def run():
        loss = F.cross_entropy(logits, p["classes"])
        return [loss, torch.autograd.grad(loss, logits)[0]]

    return Repeated(run)


def embedding_gradient(p):
    table = p["table"].requires_grad_()
    return Repeated(
        lambda: torch.autograd.grad(F.embedding(p["ids"], table), table, p["gradient"])
    )


def attention_gradient(p):
    inputs = [p[name].requires_grad_() for name in ("query", "key", "value")]
    return Repeated(lambda: torch.autograd.grad(scaled_attention(*inputs), inputs, p["gradient"]))


class AdamW:
    def __init__(self, p):
        settings = p["settings"]
        self.params = trainable(p["params"])
        for leaf, gradient in zip(self.params, p["gradients"]):
            leaf.grad = gradient
        self.optimizer = torch.optim.AdamW(
            self.params,
            lr=settings["learningRate"],
            betas=tuple(settings["betas"]),
            eps=settings["epsilon"],
            weight_decay=settings["weightDecay"],
            foreach=True,  # all tensors in few calls: the faster form here
        )

    def run(self):
        self.optimizer.step()
        return self.params[0].flatten()[0].item()

    def values(self):
        return torch.cat([leaf.detach().flatten() for leaf in self.params])


def mlp_step(p):
    params, x, y = p["params"], p["input"], p["target"]
    all_leaves = trainable(params)

    def loss():
        return F.cross_entropy(linear(F.relu(linear(x, params["up"])), params["down"]), y)

    return Training(all_leaves, loss, torch.optim.SGD(all_leaves, p["learningRate"]))


def block_step(p):
    params, x, y = p["params"], p["input"], p["target"]
    all_leaves = trainable(params)

    def loss():
        z = x
        for own in params:
            z = block(z, own, p["heads"])
        return F.mse_loss(z, y)

    return Training(all_leaves, loss, torch.optim.SGD(all_leaves, p["learningRate"]))


def vit(p):
    def embed():
        features = image_tower(p["params"], p["images"], p["patchSize"], p["heads"], quick_gelu)
        return F.normalize(features, dim=-1)

    return Forward(embed)


abilities = {
    "product": product,
    "softmax": lambda p: Forward(lambda: p["x"].softmax(-1)),
    "layerNorm": lambda p: Forward(lambda: norm(p["x"], p)),
    "gelu": lambda p: Forward(lambda: F.gelu(p["x"])),
    "crossEntropy": cross_entropy,
    "embedding": lambda p: Forward(lambda: F.embedding(p["ids"], p["table"])),
    "embeddingGradient": embedding_gradient,
    "adamW": AdamW,
    "attention": lambda p: Forward(lambda: scaled_attention(p["query"], p["key"], p["value"])),
    "attentionGradient": attention_gradient,
    "mlpStep": mlp_step,
    "blockStep": block_step,
    "vit": vit,
    "clipInStep": clip_in_step,
}


def runs_for(task, seconds):
    """Seconds of each of as many runs as take so long, one at least."""
    times, begin = [], time.perf_counter()
    while True:
        start = time.perf_counter()
        task.run()
        now = time.perf_counter()
        times.append(now - start)
        if now - begin >= seconds:
            return times


def main():
    orders, answers = os.fdopen(3), os.fdopen(4, "w")

    def answer(**message):
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    threads = int(sys.argv[1])
    torch.set_num_threads(threads)
    torch.rand(64, 64) @ torch.rand(64, 64)  # loads the BLAS
    detail = f"{torch.__version__}, {torch.get_num_threads()} threads, {blas_name()}"
    answer(detail=detail, kinds=list(abilities))
    task = None
    for line in orders:
        order = json.loads(line)
        begin = time.perf_counter()
        try:
            if order["do"] == "prepare":
                problem = tree(order["problem"], numpy.fromfile(order["file"], dtype=numpy.int32))
                begin = time.perf_counter()
                task = None
                task = abilities[order["kind"]](problem)
                answer(took=time.perf_counter() - begin)
            elif order["do"] == "run":
                numbers = [task.run() for _ in range(order["times"])]
                numbers = [x if math.isfinite(x) else str(x) for x in numbers]
                answer(numbers=numbers, took=time.perf_counter() - begin)
            elif order["do"] == "values":
                task.values().contiguous().numpy().astype(numpy.float32).tofile(order["file"])
                answer()
            else:
                if order["warm"] > 0:
                    runs_for(task, order["warm"])
                answer(seconds=runs_for(task, order["seconds"]))
        except Exception as error:
            answer(error=f"{type(error).__name__}: {error}")


main()
