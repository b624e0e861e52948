"""Writes randomly initialized models as they are published, each with what PyTorch makes of two images and three texts.

    python3 write_reference.py reduced OUT          the small models, in OUT/<name>
    python3 write_reference.py full OUT NAME        a model of true size, in OUT

Weights: a folder that transformers reads (config.json, model.safetensors), one that open_clip reads (open_clip_config.json,
open_clip_model.safetensors), or `model.pt`, for those that have no configuration: Long-CLIP's bare state dictionary, and the
checkpoint of TULIP's and CLIP-IN's kind (`state_dict`, `module.` before all names). Values: `values.safetensors`, for small
models computed in float64 from the same weights. Needs PyTorch; run by hand.
"""
import json
import pathlib
import sys

import torch
import torch.nn.functional as F

from families import FULL, REDUCED
from safetensors_file import write_safetensors
from towers import HuggingFaceClip, HuggingFaceSiglip, randomize


def parts_of(kind, config):
    """Side of the images and of a patch, number of ids, and context length."""
    if kind in (HuggingFaceClip, HuggingFaceSiglip):
        vision, text = config["vision_config"], config["text_config"]
        patch = vision["patch_size"]
        side = vision.get("image_size") or patch * int(vision["num_patches"] ** 0.5)
        return side, patch, text["vocab_size"], text["max_position_embeddings"]
    vision, text = config["vision_cfg"], config["text_cfg"]
    return vision["image_size"], vision.get("patch_size"), text["vocab_size"], text["context_length"]


def texts_of(vocabulary, length, generator, reads_padding):
    """A short, a longer and a full text. CLIP: start and end are the two largest ids; SigLIP: the end is 1, padding too."""
    ids = torch.zeros(3, length, dtype=torch.int64)
    for row, count in enumerate((max(3, length // 8), max(4, length // 2), length)):
        words = torch.randint(2, vocabulary - 2, (count,), generator=generator)
        if reads_padding:
            ids[row, :] = 1
            ids[row, : count - 1] = words[: count - 1]
        else:
            ids[row, :count] = words
            ids[row, 0], ids[row, count - 1] = vocabulary - 2, vocabulary - 1
    return ids


def patched(side, patch, generator, batch):
    """NaFlex: grids of other shapes than the learned one, filled up to the number of patches of the longest."""
    grid = side // patch
    shapes = [(grid - 1, grid + 1), (grid + 2, max(1, grid // 2))][:batch]
    count = max(rows * columns for rows, columns in shapes) + 1
    patches = torch.randn(len(shapes), count, 3 * patch * patch, generator=generator)
    mask = torch.tensor([[i < rows * columns for i in range(count)] for rows, columns in shapes])
    return patches, mask, shapes


@torch.no_grad()
def write(kind, config, folder, seed, batch, small):
    generator = torch.Generator().manual_seed(seed)
    model = randomize(kind(config), seed)
    side, patch, vocabulary, length = parts_of(kind, config)
    naflex = config.get("model_type") == "siglip2"
    reads_padding = hasattr(model, "logit_bias")
    ids = texts_of(vocabulary, length, generator, reads_padding)[: batch + 1]
    if naflex:
        patches, mask, shapes = patched(side, patch, generator, batch)
        inputs = (patches, mask, shapes)
        given = {"patches": patches, "mask": mask.int(), "shapes": torch.tensor(shapes).int()}
    else:
        pixels = torch.randn(batch, 3, side, side, generator=generator)
        inputs = (pixels,)
        given = {"pixels": pixels.permute(0, 2, 3, 1)}  # as ours has them
    folder.mkdir(parents=True, exist_ok=True)
    write_weights(kind, config, folder, model)
    if small:
        model.double()
        inputs = (inputs[0].double(), *inputs[1:])
    images, texts = model.encode_image(*inputs), model.encode_text(ids)
    values = {
        **given,
        "ids": ids.int(),
        "images": F.normalize(images, dim=-1),
        "texts": F.normalize(texts, dim=-1),
        "logits": model.logits(images, texts),
    }
    if small:
        patches, attention = model.look(*inputs)
        values.update(looks=F.normalize(patches, dim=-1), attention=attention)
    floats = {name: x.float() if x.is_floating_point() else x for name, x in values.items()}
    write_safetensors(folder / "values.safetensors", floats)


def write_weights(kind, config, folder, model):
    if kind in (HuggingFaceClip, HuggingFaceSiglip):
        write_safetensors(folder / "model.safetensors", model.state_dict())
        (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    elif "rope" in config["text_cfg"] or "stretched" in config["text_cfg"]:
        tensors = model.state_dict()
        wrapped = {"state_dict": {f"module.{name}": x for name, x in tensors.items()}, "epoch": 1}
        torch.save(wrapped if "rope" in config["text_cfg"] else tensors, folder / "model.pt")
    else:
        write_safetensors(folder / "open_clip_model.safetensors", model.state_dict())
        described = {"model_cfg": config, "preprocess_cfg": {}}
        (folder / "open_clip_config.json").write_text(json.dumps(described, indent=2) + "\n")


if __name__ == "__main__":
    size, out, *names = sys.argv[1:]
    if size not in ("reduced", "full") or any(name not in FULL for name in names):
        sys.exit(f"{__doc__}\nNAME: {', '.join(FULL)}")
    if size == "reduced":
        for i, (name, (kind, config)) in enumerate(REDUCED.items()):
            write(kind, config, pathlib.Path(out) / name, seed=i + 1, batch=2, small=True)
    else:
        for name in names:
            write(*FULL[name], pathlib.Path(out), seed=len(name), batch=1, small=False)
