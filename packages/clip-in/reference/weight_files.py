"""Reduced towers in PyTorch, written to files in the layouts in which models are published, for the tests of ../src/weights.

Each model lies in fixtures/weights beside `expected.json`: its unit embeddings of two images and two texts, computed by
PyTorch in f32 from the very weights in the file. Needs PyTorch 1.13 or later; run it by hand:

    python3 weight_files.py ../src/weights/fixtures
"""
import json
import pathlib
import shutil
import struct
import sys

import torch
import torch.nn.functional as F
from torch import nn


class QuickGELU(nn.Module):
    def forward(self, x):
        return x * torch.sigmoid(1.702 * x)


class Block(nn.Module):
    """A block of OpenAI's CLIP, with its names."""

    def __init__(self, width, heads, activation, hidden=None, eps=1e-5):
        super().__init__()
        self.attn = nn.MultiheadAttention(width, heads)
        self.ln_1 = nn.LayerNorm(width, eps)
        self.mlp = nn.Sequential()
        self.mlp.add_module("c_fc", nn.Linear(width, hidden or 4 * width))
        self.mlp.add_module("gelu", activation)
        self.mlp.add_module("c_proj", nn.Linear(hidden or 4 * width, width))
        self.ln_2 = nn.LayerNorm(width, eps)

    def forward(self, x, mask):
        y = self.ln_1(x)
        x = x + self.attn(y, y, y, need_weights=False, attn_mask=mask)[0]
        return x + self.mlp(self.ln_2(x))


class RotaryBlock(Block):
    """The same with rotary positions, pairs interleaved, as in TULIP."""

    def forward(self, x, mask):
        tokens, batch, width = x.shape
        heads = self.attn.num_heads
        q, k, v = F.linear(self.ln_1(x), self.attn.in_proj_weight, self.attn.in_proj_bias).chunk(3, -1)
        q, k, v = (y.reshape(tokens, batch, heads, -1).permute(1, 2, 0, 3) for y in (q, k, v))
        q, k = turn(q), turn(k)
        scores = q @ k.transpose(2, 3) * (width // heads) ** -0.5 + mask
        mixed = (scores.softmax(-1) @ v).permute(2, 0, 1, 3).reshape(tokens, batch, width)
        x = x + self.attn.out_proj(mixed)
        return x + self.mlp(self.ln_2(x))


def turn(x):
    tokens, dim = x.shape[-2:]
    angles = torch.outer(torch.arange(tokens).float(), 10000.0 ** (-torch.arange(0, dim, 2).float() / dim))
    pairs = torch.view_as_complex(x.reshape(*x.shape[:-1], dim // 2, 2).contiguous())
    return torch.view_as_real(pairs * torch.polar(torch.ones_like(angles), angles)).flatten(-2)


class Transformer(nn.Module):
    def __init__(self, blocks):
        super().__init__()
        self.resblocks = nn.Sequential(*blocks)

    def forward(self, x, mask):
        x = x.permute(1, 0, 2)
        for block in self.resblocks:
            x = block(x, mask)
        return x.permute(1, 0, 2)


class Visual(nn.Module):
    def __init__(self, size, patch, width, layers, heads, outputs, activation):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, patch, patch, bias=False)
        self.class_embedding = nn.Parameter(torch.empty(width))
        self.positional_embedding = nn.Parameter(torch.empty((size // patch) ** 2 + 1, width))
        self.ln_pre = nn.LayerNorm(width)
        self.transformer = Transformer([Block(width, heads, activation) for _ in range(layers)])
        self.ln_post = nn.LayerNorm(width)
        self.proj = nn.Parameter(torch.empty(width, outputs))

    def forward(self, x):
        x = self.conv1(x).flatten(2).permute(0, 2, 1)
        first = self.class_embedding + torch.zeros(x.shape[0], 1, x.shape[-1])
        x = self.ln_pre(torch.cat([first, x], 1) + self.positional_embedding)
        return self.ln_post(self.transformer(x, None)[:, 0]) @ self.proj


class CLIP(nn.Module):
    """OpenAI's CLIP, with its names."""

    block = Block

    def __init__(self, size, patch, width, layers, heads, outputs, vocabulary, context, activation, text_activation=None):
        super().__init__()
        self.visual = Visual(size, patch, width, layers, heads, outputs, activation)
        text_activation = text_activation or activation
        self.transformer = Transformer([self.block(width, heads, text_activation) for _ in range(layers)])
        self.token_embedding = nn.Embedding(vocabulary, width)
        self.positional_embedding = nn.Parameter(torch.empty(context, width))
        self.ln_final = nn.LayerNorm(width)
        self.text_projection = nn.Parameter(torch.empty(width, outputs))
        self.logit_scale = nn.Parameter(torch.ones([]))

    def positions(self, tokens):
        return self.positional_embedding[:tokens]

    def encode_image(self, images):
        return self.visual(images)

    def encode_text(self, ids):
        x = self.token_embedding(ids) + self.positions(ids.shape[1])
        mask = torch.full((ids.shape[1], ids.shape[1]), float("-inf")).triu(1)
        x = self.ln_final(self.transformer(x, mask))
        return x[torch.arange(x.shape[0]), ids.argmax(-1)] @ self.text_projection

    def forward(self, images, ids):
        return self.encode_image(images), self.encode_text(ids)


def randomized(model, seed):
    """Every parameter drawn, so that none is 0 or 1 and could be mistaken."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        values = torch.randn(parameter.shape, generator=generator)
        if name == "logit_scale":
            parameter.data = torch.tensor(3.1)
        elif "ln_" in name or "norm" in name:
            parameter.data = 0.2 * values + (1 if name.endswith("weight") else 0)
        else:
            parameter.data = values * (0.3 if parameter.dim() < 2 else parameter.shape[-1] ** -0.5)
    return model.eval()


# Inputs. The pixels of an image are sin(0.37 i + 1.9 n) in the order [row, column, channel].
def images(size):
    i = torch.arange(size * size * 3).double()
    return torch.stack([torch.sin(0.37 * i + 1.9 * n).reshape(size, size, 3) for n in range(2)]).permute(0, 3, 1, 2).float()


def texts(vocabulary, length):
    first = [vocabulary - 2, 5, 3, 8, vocabulary - 1] + [0] * (length - 5)
    second = [vocabulary - 2] + [(7 * i + 1) % (vocabulary - 2) for i in range(length - 2)] + [vocabulary - 1]
    return torch.tensor([first, second])


expected = {}


def remember(name, model, size, vocabulary, length):
    with torch.no_grad():
        ids = texts(vocabulary, length)
        unit = lambda x: F.normalize(x, dim=-1).tolist()
        expected[name] = {
            "imageSize": size,
            "ids": ids.tolist(),
            "images": unit(model.encode_image(images(size))),
            "texts": unit(model.encode_text(ids)),
            "logitScale": model.logit_scale.item(),
        }


# Formats.
DTYPES = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64"}


def write_safetensors(file, tensors):
    """The format by hand, in the order given, as its reference implementation writes it."""
    header, offset, parts = {"__metadata__": {"format": "pt"}}, 0, []
    for name, x in tensors.items():
        data = x.detach().contiguous()
        raw = (data.view(torch.int16) if data.dtype == torch.bfloat16 else data).numpy().tobytes()
        header[name] = {"dtype": DTYPES[x.dtype], "shape": list(x.shape), "data_offsets": [offset, offset + len(raw)]}
        offset += len(raw)
        parts.append(raw)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    file.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(parts))


def write_json(file, value):
    file.write_text(json.dumps(value, indent=2) + "\n")


# Names.
def hugging_face(state):
    """OpenAI's names to those of CLIPModel."""
    result = {}
    for name, x in state.items():
        if name == "logit_scale":
            result[name] = x
        elif name == "visual.proj":
            result["visual_projection.weight"] = x.T
        elif name == "text_projection":
            result["text_projection.weight"] = x.T
        else:
            tower, rest = ("vision_model", name[7:]) if name.startswith("visual.") else ("text_model", name)
            for new, x in hugging_face_part(rest, x):
                result[f"{tower}.{new}"] = x
    return result


def hugging_face_part(name, x):
    simple = {
        "class_embedding": "embeddings.class_embedding",
        "conv1.weight": "embeddings.patch_embedding.weight",
        "positional_embedding": "embeddings.position_embedding.weight",
        "token_embedding.weight": "embeddings.token_embedding.weight",
    }
    if name in simple:
        return [(simple[name], x)]
    if name.startswith("transformer.resblocks."):
        _, _, number, *part, kind = name.split(".")
        layer = f"encoder.layers.{number}"
        part = ".".join(part)
        if part == "attn":  # in_proj_weight, in_proj_bias
            kind = kind[len("in_proj_"):]
            return [(f"{layer}.self_attn.{p}_proj.{kind}", y) for p, y in zip("qkv", x.chunk(3))]
        new = {
            "attn.out_proj": "self_attn.out_proj",
            "ln_1": "layer_norm1",
            "ln_2": "layer_norm2",
            "mlp.c_fc": "mlp.fc1",
            "mlp.c_proj": "mlp.fc2",
        }[part]
        return [(f"{layer}.{new}.{kind}", x)]
    part, kind = name.split(".")
    new = {"ln_pre": "pre_layrnorm", "ln_post": "post_layernorm", "ln_final": "final_layer_norm"}[part]
    return [(f"{new}.{kind}", x)]


# The files.
SMALL = dict(size=8, patch=4, width=16, layers=2, heads=2, outputs=12, vocabulary=40, context=10)


def small_inputs(length=8):
    return SMALL["size"], SMALL["vocabulary"], length


def clip_config(**more):
    """As transformers writes it: without what is its default."""
    tower = dict(hidden_size=16, intermediate_size=64, num_attention_heads=2, num_hidden_layers=2, **more)
    return {
        "architectures": ["CLIPModel"],
        "model_type": "clip",
        "projection_dim": 12,
        "text_config": {"model_type": "clip_text_model", "vocab_size": 40, "max_position_embeddings": 10, **tower},
        "vision_config": {"model_type": "clip_vision_model", "image_size": 8, "patch_size": 4, **tower},
    }


def clip_processor():
    return {
        "crop_size": {"height": 8, "width": 8},
        "do_center_crop": True,
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_processor_type": "CLIPImageProcessor",
        "image_std": [0.26862954, 0.26130258, 0.27577711],
        "resample": 3,
        "size": {"shortest_edge": 8},
    }


def hugging_face_f32(folder):
    model = randomized(CLIP(**SMALL, activation=QuickGELU()), 1)
    remember(folder.name, model, *small_inputs())
    state = hugging_face(model.state_dict())
    state["text_model.embeddings.position_ids"] = torch.arange(10)[None]  # as older files have it
    state["vision_model.embeddings.position_ids"] = torch.arange(5)[None]
    write_safetensors(folder / "model.safetensors", state)
    write_json(folder / "config.json", clip_config())
    write_json(folder / "preprocessor_config.json", clip_processor())


def hugging_face_f16_sharded(folder):
    model = randomized(CLIP(**SMALL, activation=nn.GELU()), 2).half()
    state = hugging_face(model.state_dict())
    remember(folder.name, model.float(), *small_inputs())
    names = sorted(state)
    shards = [names[: len(names) // 2], names[len(names) // 2 :]]
    places = {}
    for number, shard in enumerate(shards):
        file = f"model-{number + 1:05}-of-00002.safetensors"
        write_safetensors(folder / file, {name: state[name] for name in shard})
        places.update({name: file for name in shard})
    total = sum(2 * x.numel() for x in state.values())
    write_json(folder / "model.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": places})
    write_json(folder / "config.json", {**clip_config(hidden_act="gelu"), "torch_dtype": "float16"})


FOLDERS = [hugging_face_f32, hugging_face_f16_sharded]

if __name__ == "__main__":
    root = pathlib.Path(sys.argv[1])
    for write in FOLDERS:
        folder = root / write.__name__.replace("_", "-")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        write(folder)
    write_json(root / "expected.json", expected)
