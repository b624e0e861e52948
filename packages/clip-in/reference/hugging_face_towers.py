"""Dual encoders with the names of `transformers`; see `towers.py`."""
import math

import torch
import torch.nn.functional as F
from torch import nn

from parts import Mlp, attend, causal_mask, logits_of, look_through, parameter


class SelfAttention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.k_proj, self.v_proj = nn.Linear(width, width), nn.Linear(width, width)
        self.q_proj, self.out_proj = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x, mask):
        mixed, weights = attend(self.q_proj(x), self.k_proj(x), self.v_proj(x), self.heads, mask)
        return self.out_proj(mixed), weights


class EncoderLayer(nn.Module):
    def __init__(self, config):
        super().__init__()
        width, eps = config["hidden_size"], config["layer_norm_eps"]
        self.layer_norm1, self.layer_norm2 = nn.LayerNorm(width, eps=eps), nn.LayerNorm(width, eps=eps)
        self.self_attn = SelfAttention(width, config["num_attention_heads"])
        self.mlp = Mlp(width, config["intermediate_size"], config["hidden_act"])

    def forward(self, x, mask=None):
        x = x + self.self_attn(self.layer_norm1(x), mask)[0]
        return x + self.mlp(self.layer_norm2(x))


class Encoder(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config["num_hidden_layers"]))

    def forward(self, x, mask=None):
        for block in self.layers:
            x = block(x, mask)
        return x


class TextEmbeddings(nn.Module):
    def __init__(self, config):
        super().__init__()
        width = config["hidden_size"]
        self.token_embedding = nn.Embedding(config["vocab_size"], width)
        self.position_embedding = nn.Embedding(config["max_position_embeddings"], width)

    def forward(self, ids):
        return self.token_embedding(ids) + self.position_embedding.weight[: ids.shape[1]]


class TextModel(nn.Module):
    def __init__(self, config, causal, projection=None):
        super().__init__()
        self.causal = causal
        self.embeddings, self.encoder = TextEmbeddings(config), Encoder(config)
        self.final_layer_norm = nn.LayerNorm(config["hidden_size"], eps=config["layer_norm_eps"])
        if projection:
            self.head = nn.Linear(config["hidden_size"], projection)

    def forward(self, ids):
        x = self.embeddings(ids)
        mask = causal_mask(ids.shape[1]).to(x.dtype) if self.causal else None
        return self.final_layer_norm(self.encoder(x, mask))


class VisionEmbeddings(nn.Module):
    def __init__(self, config, with_class, with_bias, linear=False):
        super().__init__()
        width, patch = config["hidden_size"], config["patch_size"]
        points = config["num_patches"] if linear else (config["image_size"] // patch) ** 2
        if with_class:
            self.class_embedding = parameter(width)
        self.patch_embedding = (
            nn.Linear(3 * patch * patch, width) if linear else nn.Conv2d(3, width, patch, patch, bias=with_bias)
        )
        self.position_embedding = nn.Embedding(points + int(with_class), width)

    def forward(self, pixels):
        x = self.patch_embedding(pixels).flatten(2).transpose(1, 2)
        if hasattr(self, "class_embedding"):
            x = torch.cat([self.class_embedding.expand(len(x), 1, -1), x], 1)
        return x + self.position_embedding.weight

    def of_patches(self, patches, shapes):
        side = math.isqrt(self.position_embedding.num_embeddings)
        grid = self.position_embedding.weight.T.reshape(1, -1, side, side)
        x = self.patch_embedding(patches)
        for i, shape in enumerate(shapes):
            resized = F.interpolate(grid, tuple(shape), mode="bilinear", align_corners=False, antialias=True)[0]
            places = resized.flatten(1).T
            padding = places[:1].expand(x.shape[1] - len(places), -1)
            x[i] = x[i] + torch.cat([places, padding])
        return x


class ClipVisionModel(nn.Module):
    def __init__(self, config):
        super().__init__()
        width, eps = config["hidden_size"], config["layer_norm_eps"]
        self.embeddings, self.encoder = VisionEmbeddings(config, True, False), Encoder(config)
        self.pre_layrnorm, self.post_layernorm = nn.LayerNorm(width, eps=eps), nn.LayerNorm(width, eps=eps)

    def forward(self, pixels):
        return self.encoder(self.pre_layrnorm(self.embeddings(pixels)))


class HuggingFaceClip(nn.Module):
    def __init__(self, config):
        super().__init__()
        text, vision, width = config["text_config"], config["vision_config"], config["projection_dim"]
        self.text_model, self.vision_model = TextModel(text, causal=True), ClipVisionModel(vision)
        self.visual_projection = nn.Linear(vision["hidden_size"], width, bias=False)
        self.text_projection = nn.Linear(text["hidden_size"], width, bias=False)
        self.logit_scale = parameter()

    def encode_image(self, pixels):
        x = self.vision_model(pixels)[:, 0]
        return self.visual_projection(self.vision_model.post_layernorm(x))

    def encode_text(self, ids):
        return self.text_projection(self.text_model(ids)[torch.arange(len(ids)), ids.argmax(-1)])

    def look(self, pixels):
        vision = self.vision_model
        x = vision.pre_layrnorm(vision.embeddings(pixels))
        for block in vision.encoder.layers[:-1]:
            x = block(x)
        last = vision.encoder.layers[-1]
        weights = last.self_attn(last.layer_norm1(x), None)[1]
        return self.visual_projection(vision.post_layernorm(last(x)[:, 1:])), weights[:, :, 0, 1:]

    logits = logits_of


class SiglipHead(nn.Module):
    def __init__(self, config):
        super().__init__()
        width = config["hidden_size"]
        self.probe = parameter(1, 1, width)
        self.attention = nn.MultiheadAttention(width, config["num_attention_heads"], batch_first=True)
        self.layernorm = nn.LayerNorm(width, eps=config["layer_norm_eps"])
        self.mlp = Mlp(width, config["intermediate_size"], config["hidden_act"])

    def forward(self, x, mask=None):
        probe = self.probe.expand(len(x), -1, -1)
        y, weights = self.attention(probe, x, x, key_padding_mask=mask, average_attn_weights=False)
        return (y + self.mlp(self.layernorm(y)))[:, 0], weights[:, :, 0]


class SiglipVisionModel(nn.Module):
    def __init__(self, config, naflex):
        super().__init__()
        self.embeddings = VisionEmbeddings(config, False, True, linear=naflex)
        self.encoder, self.head = Encoder(config), SiglipHead(config)
        self.post_layernorm = nn.LayerNorm(config["hidden_size"], eps=config["layer_norm_eps"])

    def forward(self, pixels):
        return self.post_layernorm(self.encoder(self.embeddings(pixels)))

    def of_patches(self, patches, mask, shapes):
        hidden = torch.zeros(mask.shape).masked_fill(~mask, -math.inf)[:, None, None].to(patches.dtype)
        return self.post_layernorm(self.encoder(self.embeddings.of_patches(patches, shapes), hidden))


class HuggingFaceSiglip(nn.Module):
    """`model_type` siglip2 is NaFlex: `encode_image(patches, mask, shapes)`, mask bool and true for real patches."""

    def __init__(self, config):
        super().__init__()
        text, vision = config["text_config"], config["vision_config"]
        self.text_model = TextModel(text, causal=False, projection=text.get("projection_size", text["hidden_size"]))
        self.vision_model = SiglipVisionModel(vision, config["model_type"] == "siglip2")
        self.logit_scale, self.logit_bias = parameter(1), parameter(1)

    def encode_image(self, pixels, mask=None, shapes=None):
        if mask is None:
            return self.vision_model.head(self.vision_model(pixels))[0]
        return self.vision_model.head(self.vision_model.of_patches(pixels, mask, shapes), ~mask)[0]

    def encode_text(self, ids):
        return self.text_model.head(self.text_model(ids)[:, -1])

    def look(self, pixels, mask=None, shapes=None):
        if mask is None:
            return look_through(self.vision_model.head, self.vision_model(pixels))
        x = self.vision_model.of_patches(pixels, mask, shapes)
        alone = self.vision_model.head(x.flatten(0, 1)[:, None])[0].unflatten(0, x.shape[:2])
        return alone, self.vision_model.head(x, ~mask)[1]

    logits = logits_of
