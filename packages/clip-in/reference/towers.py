"""The published dual encoders in PyTorch, for reference values. Needs nothing but PyTorch.

Every module has the names and layout of a published implementation, so that its `state_dict()` is a file of that family:

    OpenClip         open_clip's `CLIP`, which is also OpenAI's (LAION, DFN); with two tables of positions Long-CLIP's
    CustomTextClip   open_clip's `CustomTextCLIP`: a text tower of its own (TULIP, CLIP-IN), or SigLIP around a timm trunk
    HuggingFaceClip  transformers' `CLIPModel`
    HuggingFaceSiglip  transformers' `SiglipModel` (SigLIP, SigLIP 2) and `Siglip2Model` (NaFlex)

Each is made from the JSON of that library, open_clip's model configuration or transformers' `config.json`, and has

    encode_image(pixels)  [batch, 3, height, width] -> [batch, embedding], not normalized; NaFlex takes (patches, mask, shapes)
    encode_text(ids)      [batch, tokens] -> [batch, embedding], not normalized
    look(pixels)          what the patches say: ([batch, patches, embedding], [batch, heads, patches] weights of the pool)
    logits(images, texts)

`randomize(model, seed)` fills in values of realistic scales, so that a mistake in any part shows.
"""
import math

import torch

from hugging_face_towers import HuggingFaceClip, HuggingFaceSiglip
from open_clip_towers import CustomTextClip, OpenClip

__all__ = ["CustomTextClip", "HuggingFaceClip", "HuggingFaceSiglip", "OpenClip", "randomize"]


@torch.no_grad()
def randomize(model, seed):
    """Values of the sizes that trained weights have, from a seed: norms near 1, biases and positions that count."""
    generator = torch.Generator().manual_seed(seed)
    for name, x in model.named_parameters():
        noise = torch.randn(x.shape, generator=generator, dtype=torch.float32)
        x.copy_(value_of(name, x.shape, noise))
    return model.eval()


def value_of(name, shape, noise):
    last = name.split(".")[-1]
    if last == "logit_scale":
        return torch.full(shape, math.log(60.0))
    if last == "logit_bias":
        return torch.full(shape, -12.5)
    if "token_embedding" in name or "pos" in name.split(".")[-2 if last == "weight" else -1]:
        return noise * 0.3
    if last in ("class_embedding", "probe", "latent"):
        return noise
    if len(shape) == 1:
        is_gain = last == "weight"
        return 1 + 0.2 * noise if is_gain else 0.1 * noise
    if name in ("text_projection", "text.text_projection", "visual.proj"):
        return noise * shape[0] ** -0.5
    inputs = math.prod(shape[1:])
    attention = any(part in name for part in ("in_proj_weight", "q_proj", "k_proj", "qkv"))
    return noise * inputs**-0.5 * (1.5 if attention else 1)
