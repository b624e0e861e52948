"""Small models in the layouts in which others publish theirs, for the tests of ../src/weights.

    python3 weight_files.py ../src/weights/fixtures

Each lies in a folder or file of its own; `expected.json` has their unit embeddings of two images and two texts, which
`towers.py` computed in float64 from the very weights in the file. Needs PyTorch; run by hand.
"""
import argparse
import collections
import json
import pathlib
import shutil
import sys

import torch
import torch.nn.functional as F

from families import REDUCED, hf_clip, hf_siglip, longer, open_clip, siglip_open_clip, siglip_text
from safetensors_file import write_safetensors
from towers import CustomTextClip, HuggingFaceClip, HuggingFaceSiglip, OpenClip, randomize

VISION = dict(image_size=8, layers=2, width=16, head_width=8, patch_size=4)
TEXT = dict(context_length=10, vocab_size=40, width=16, heads=2, layers=2)
# Widths of which heads follow.
WIDE_VISION = dict(VISION, layers=1, width=64, head_width=64)
WIDE_TEXT = dict(TEXT, layers=1, width=64, heads=1)
EMBEDDING = 12

expected = {}


def pixels_of(size):
    """Pixel i, in the order [row, column, channel], of image n is sin(0.37 i + 1.9 n)."""
    i = torch.arange(size * size * 3).double()
    images = torch.stack([torch.sin(0.37 * i + 1.9 * n) for n in range(2)])
    return images.reshape(2, size, size, 3).permute(0, 3, 1, 2)


def ids_of(vocabulary, length):
    """Two texts of `length` tokens; the second reaches to the end."""
    first = [vocabulary - 2, 5, 3, 8, vocabulary - 1] + [0] * (length - 5)
    second = [vocabulary - 2] + [(7 * i + 1) % (vocabulary - 2) for i in range(length - 2)] + [vocabulary - 1]
    return torch.tensor([first, second])


def patches_of(pixels, patch):
    """[batch, 3, side, side] -> [batch, patches, patch * patch * 3], by row, column and channel."""
    batch, _, side, _ = pixels.shape
    grid = side // patch
    cut = pixels.reshape(batch, 3, grid, patch, grid, patch).permute(0, 2, 4, 3, 5, 1)
    return cut.reshape(batch, grid * grid, -1)


@torch.no_grad()
def remember(name, model, size, vocabulary, length, patch=None):
    """With `patch` the images come as patches, as NaFlex takes them."""
    model = model.double().eval()
    pixels, ids = pixels_of(size), ids_of(vocabulary, length)
    if patch:
        grid = size // patch
        mask = torch.ones(2, grid * grid, dtype=torch.bool)
        images = model.encode_image(patches_of(pixels, patch), mask, [(grid, grid)] * 2)
    else:
        images = model.encode_image(pixels)
    round_ = lambda x: [[float(f"{value:.9g}") for value in row] for row in F.normalize(x, dim=-1).tolist()]
    expected[name] = {
        "imageSize": size,
        "ids": ids.tolist(),
        "images": round_(images),
        "texts": round_(model.encode_text(ids)),
        "logitScale": model.logit_scale.item(),
    }


def write_json(file, value):
    file.write_text(json.dumps(value, indent=2) + "\n")


def copied(state):
    """Before the model is changed to float64."""
    return collections.OrderedDict((name, x.detach().clone()) for name, x in state.items())


def without_defaults(config):
    """As transformers writes it: without what is its default."""
    defaults = dict(hidden_act="quick_gelu", layer_norm_eps=1e-5, num_channels=3, projection_dim=512)
    return {
        key: without_defaults(value) if isinstance(value, dict) else value
        for key, value in config.items()
        if defaults.get(key) != value
    }


def hugging_face_f32(out, name):
    config = hf_clip(EMBEDDING, (16, 64, 2, 2), (16, 64, 2, 2), 8, 4, vocab_size=40, context=10)
    model = randomize(HuggingFaceClip(config), 1)
    state = copied(model.state_dict())
    state["text_model.embeddings.position_ids"] = torch.arange(10)[None]  # as older files have it
    state["vision_model.embeddings.position_ids"] = torch.arange(5)[None]
    folder = out / name
    folder.mkdir()
    write_safetensors(folder / "model.safetensors", state)
    write_json(folder / "config.json", without_defaults(config))
    write_json(
        folder / "preprocessor_config.json",
        {
            "crop_size": 8,
            "do_center_crop": True,
            "feature_extractor_type": "CLIPFeatureExtractor",
            "image_mean": [0.5, 0.4, 0.3],
            "image_std": [0.25, 0.26, 0.27],
            "resample": 3,
            "size": 8,
        },
    )
    remember(name, model, 8, 40, 8)


def hugging_face_f16_sharded(out, name):
    config = hf_clip(EMBEDDING, (16, 64, 2, 2), (16, 64, 2, 2), 8, 4, vocab_size=40, context=10)
    for tower in ("text_config", "vision_config"):
        config[tower]["hidden_act"] = "gelu"
    model = randomize(HuggingFaceClip(config), 2).half()
    state = copied(model.state_dict())
    folder = out / name
    folder.mkdir()
    names = sorted(state)
    shards = [names[: len(names) // 2], names[len(names) // 2 :]]
    places = {}
    for number, shard in enumerate(shards):
        file = f"model-{number + 1:05}-of-00002.safetensors"
        write_safetensors(folder / file, {key: state[key] for key in shard})
        places.update({key: file for key in shard})
    total = sum(2 * x.numel() for x in state.values())
    write_json(folder / "model.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": places})
    write_json(folder / "config.json", {**without_defaults(config), "torch_dtype": "float16"})
    remember(name, model, 8, 40, 8)


def hugging_face_siglip(out, name):
    config = hf_siglip((16, 50, 2, 2), 14, 4, 146, context=9)
    model = randomize(HuggingFaceSiglip(config), 3).bfloat16()
    folder = out / name
    folder.mkdir()
    write_safetensors(folder / "model.safetensors", copied(model.state_dict()))
    write_json(folder / "config.json", config)
    processor = {
        "image_mean": [0.5, 0.5, 0.5],
        "image_processor_type": "SiglipImageProcessor",
        "image_std": [0.5, 0.5, 0.5],
        "resample": 2,
        "size": {"height": 14, "width": 14},
    }
    write_json(folder / "preprocessor_config.json", processor)
    remember(name, model, 14, 146, 9)


def hugging_face_naflex(out, name):
    config = hf_siglip((16, 50, 2, 2), 12, 4, 40, context=9, naflex=True)
    model = randomize(HuggingFaceSiglip(config), 4)
    folder = out / name
    folder.mkdir()
    write_safetensors(folder / "model.safetensors", copied(model.state_dict()))
    write_json(folder / "config.json", config)
    remember(name, model, 12, 40, 9, patch=4)


def open_clip_folder(out, name):
    """As open_clip pushes it to a hub, weights in PyTorch's archive."""
    config = open_clip(EMBEDDING, VISION, TEXT, True)
    model = randomize(OpenClip(config), 5)
    folder = out / name
    folder.mkdir()
    torch.save(copied(model.state_dict()), folder / "open_clip_pytorch_model.bin")
    preprocess = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}
    write_json(folder / "open_clip_config.json", {"model_cfg": config, "preprocess_cfg": preprocess})
    remember(name, model, 8, 40, 8)


def open_clip_siglip(out, name):
    config = siglip_open_clip("reduced", 12, siglip_text(24, 2, 2, 40, 9, 3.7362))
    model = randomize(CustomTextClip(config), 6)
    folder = out / name
    folder.mkdir()
    write_safetensors(folder / "open_clip_model.safetensors", copied(model.state_dict()))
    preprocess = {
        "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "interpolation": "bicubic", "resize_mode": "squash",
    }
    write_json(folder / "open_clip_config.json", {"model_cfg": config, "preprocess_cfg": preprocess})
    remember(name, model, 12, 40, 9)


def open_clip_training(out, name):
    """A checkpoint of open_clip's training with several processes."""
    model = randomize(OpenClip(open_clip(EMBEDDING, VISION, TEXT, False)), 7)
    state = collections.OrderedDict((f"module.{key}", x) for key, x in copied(model.state_dict()).items())
    # Views of one storage, and a transposed one.
    state["module.text_projection"] = state["module.text_projection"].T.contiguous().T
    both = torch.stack([state["module.ln_final.weight"], state["module.ln_final.bias"]])
    state["module.ln_final.weight"], state["module.ln_final.bias"] = both
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.ones(3))])
    optimizer.param_groups[0]["params"][0].grad = torch.ones(3)
    optimizer.step()
    checkpoint = {
        "epoch": 3,
        "name": "run",
        "state_dict": state,
        "optimizer": optimizer.state_dict(),
        "args": argparse.Namespace(lr=1e-3, betas=(0.9, 0.98)),
        "generator": torch.get_rng_state()[:4],
    }
    torch.save(checkpoint, out / f"{name}.pt")
    remember(name, model, 8, 40, 8)


def wide(quick_gelu=True):
    model = randomize(OpenClip(open_clip(EMBEDDING, WIDE_VISION, WIDE_TEXT, quick_gelu)), 8).half()
    for buffer, value in dict(input_resolution=8, context_length=10, vocab_size=40).items():
        model.register_buffer(buffer, torch.tensor(value))
    return model


def openai_f16(out, name):
    """OpenAI's state dictionary: half, with three sizes among its tensors."""
    model = wide()
    torch.save(copied(model.state_dict()), out / f"{name}.pt")
    remember(name, model, 8, 40, 8)


def openai_torchscript(out, name):
    """OpenAI's releases are programs of TorchScript with the weights inside."""
    model = wide().float().eval()
    remember_after = wide()
    traced = torch.jit.trace_module(
        model, {"encode_image": pixels_of(8).float(), "encode_text": ids_of(40, 10)}, check_trace=False
    )
    traced.half()
    traced.save(str(out / f"{name}.pt"))
    remember(name, remember_after, 8, 40, 8)


def long_clip(out, name):
    text = dict(longer(TEXT, stretched=True), context_length=30)
    model = randomize(OpenClip(open_clip(EMBEDDING, VISION, text, True)), 9)
    torch.save(copied(model.state_dict()), out / f"{name}.pt")
    remember(name, model, 8, 40, 26)


def clip_in(out, name):
    text = dict(longer(TEXT, rope=True), context_length=30)
    model = randomize(CustomTextClip(open_clip(EMBEDDING, VISION, text, True)), 10)
    state = collections.OrderedDict((f"module.{key}", x) for key, x in copied(model.state_dict()).items())
    torch.save({"state_dict": state}, out / f"{name}.pt")
    remember(name, model, 8, 40, 26)


LAYOUTS = [
    hugging_face_f32, hugging_face_f16_sharded, hugging_face_siglip, hugging_face_naflex, open_clip_folder,
    open_clip_siglip, open_clip_training, openai_f16, openai_torchscript, long_clip, clip_in,
]

if __name__ == "__main__":
    out = pathlib.Path(sys.argv[1])
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    for layout in LAYOUTS:
        layout(out, layout.__name__.replace("_", "-"))
    (out / "expected.json").write_text(json.dumps(expected) + "\n")
