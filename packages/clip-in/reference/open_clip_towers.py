"""Dual encoders with the names of open_clip and OpenAI; see `towers.py`."""
from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import nn

from parts import Activation, attend, causal_mask, logits_of, parameter
from timm_tower import TimmTower


def rotary(x, heads):
    """Complex multiplication of interleaved pairs, positions from 0, base 10000; x: [batch, tokens, width]."""
    tokens, dim = x.shape[1], x.shape[2] // heads
    frequencies = 10000.0 ** (-torch.arange(0, dim, 2, dtype=torch.float64) / dim)
    angles = torch.outer(torch.arange(tokens, dtype=torch.float64), frequencies)
    turn = torch.polar(torch.ones_like(angles), angles)[:, None]
    pairs = torch.view_as_complex(x.double().reshape(*x.shape[:2], heads, dim // 2, 2))
    return torch.view_as_real(pairs * turn).flatten(2).to(x.dtype)


class OpenClipBlock(nn.Module):
    def __init__(self, width, heads, hidden, activation, eps=1e-5, rope=False):
        super().__init__()
        self.ln_1 = nn.LayerNorm(width, eps=eps)
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.ln_2 = nn.LayerNorm(width, eps=eps)
        self.mlp = nn.Sequential(
            OrderedDict(
                c_fc=nn.Linear(width, hidden), gelu=Activation(activation), c_proj=nn.Linear(hidden, width)
            )
        )
        self.rope = rope

    def attention(self, x, mask, need_weights=False):
        y = self.ln_1(x)
        if not self.rope:
            return self.attn(y, y, y, attn_mask=mask, need_weights=need_weights, average_attn_weights=False)
        heads = self.attn.num_heads
        q, k, v = F.linear(y, self.attn.in_proj_weight, self.attn.in_proj_bias).chunk(3, -1)
        mixed, weights = attend(rotary(q, heads), rotary(k, heads), v, heads, mask)
        return self.attn.out_proj(mixed), weights

    def forward(self, x, mask=None):
        x = x + self.attention(x, mask)[0]
        return x + self.mlp(self.ln_2(x))


class Resblocks(nn.Module):
    def __init__(self, layers, *args, **options):
        super().__init__()
        self.resblocks = nn.ModuleList(OpenClipBlock(*args, **options) for _ in range(layers))

    def forward(self, x, mask=None):
        for block in self.resblocks:
            x = block(x, mask)
        return x


class OpenClipVision(nn.Module):
    def __init__(self, embed_dim, activation, image_size, patch_size, width, layers, head_width=64, mlp_ratio=4.0):
        super().__init__()
        self.class_embedding = parameter(width)
        self.positional_embedding = parameter((image_size // patch_size) ** 2 + 1, width)
        self.proj = parameter(width, embed_dim)
        self.conv1 = nn.Conv2d(3, width, patch_size, patch_size, bias=False)
        self.ln_pre = nn.LayerNorm(width)
        self.transformer = Resblocks(layers, width, width // head_width, int(width * mlp_ratio), activation)
        self.ln_post = nn.LayerNorm(width)

    def tokens(self, pixels):
        patches = self.conv1(pixels).flatten(2).transpose(1, 2)
        first = self.class_embedding.expand(len(patches), 1, -1)
        return self.ln_pre(torch.cat([first, patches], 1) + self.positional_embedding)

    def forward(self, pixels):
        return self.ln_post(self.transformer(self.tokens(pixels))[:, 0]) @ self.proj

    def look(self, pixels):
        x = self.tokens(pixels)
        for block in self.transformer.resblocks[:-1]:
            x = block(x)
        last = self.transformer.resblocks[-1]
        weights = last.attention(x, None, need_weights=True)[1]
        return self.ln_post(last(x)[:, 1:]) @ self.proj, weights[:, :, 0, 1:]


class OpenClipText(nn.Module):
    """`rope` and `stretched` are not open_clip's: TULIP's rotary tower, and the second table of Long-CLIP."""

    def __init__(
        self, embed_dim, activation, context_length, vocab_size, width, heads, layers, mlp_ratio=4.0,
        no_causal_mask=False, proj_bias=False, pool_type="argmax", norm_kwargs={}, act_kwargs={},
        rope=False, stretched=False, **tokenizer,
    ):
        super().__init__()
        self.causal, self.pool_type, self.stretched, self.rope = not no_causal_mask, pool_type, stretched, rope
        self.token_embedding = nn.Embedding(vocab_size, width)
        if not rope:
            self.positional_embedding = parameter(context_length, width)
        if stretched:
            self.positional_embedding_res = parameter(context_length, width)
        eps = norm_kwargs.get("eps", 1e-5)
        if act_kwargs.get("approximate") == "tanh":
            activation = "gelu_pytorch_tanh"
        if rope:
            activation = "gelu"  # the default of TULIP's constructor, which its code never overrides
        hidden = int(width * mlp_ratio)
        self.transformer = Resblocks(layers, width, heads, hidden, activation, eps=eps, rope=rope)
        self.ln_final = nn.LayerNorm(width, eps=eps)
        self.text_projection = nn.Linear(width, embed_dim) if proj_bias else parameter(width, embed_dim)

    def forward(self, ids):
        tokens = ids.shape[1]
        x = self.token_embedding(ids)
        if self.stretched:
            early = (torch.arange(tokens) < 20)[:, None]
            x = x + torch.where(early, self.positional_embedding[:tokens], self.positional_embedding_res[:tokens])
        elif not self.rope:
            x = x + self.positional_embedding[:tokens]
        mask = causal_mask(tokens).to(x.dtype) if self.causal else None
        x = self.ln_final(self.transformer(x, mask))
        at = ids.argmax(-1) if self.pool_type == "argmax" else torch.full((len(ids),), tokens - 1)
        pooled = x[torch.arange(len(ids)), at]
        projection = self.text_projection
        return projection(pooled) if isinstance(projection, nn.Linear) else pooled @ projection


def activation_of(config):
    return "quick_gelu" if config.get("quick_gelu") else "gelu"


class OpenClip(OpenClipText):
    """The text tower lies flat beside `visual`."""

    def __init__(self, config):
        super().__init__(config["embed_dim"], activation_of(config), **config["text_cfg"])
        self.visual = OpenClipVision(config["embed_dim"], activation_of(config), **config["vision_cfg"])
        self.logit_scale = parameter()

    def encode_image(self, pixels):
        return self.visual(pixels)

    def encode_text(self, ids):
        return self(ids)

    def look(self, pixels):
        return self.visual.look(pixels)

    logits = logits_of


class CustomTextClip(nn.Module):
    def __init__(self, config):
        super().__init__()
        embed_dim, activation, vision = config["embed_dim"], activation_of(config), config["vision_cfg"]
        if "timm_model_name" in vision:
            self.visual = TimmTower(vision["timm_model_name"], vision["image_size"])
        else:
            self.visual = OpenClipVision(embed_dim, activation, **vision)
        self.text = OpenClipText(embed_dim, activation, **config["text_cfg"])
        self.logit_scale = parameter()
        if "init_logit_bias" in config:
            self.logit_bias = parameter()

    def encode_image(self, pixels):
        return self.visual(pixels)

    def encode_text(self, ids):
        return self.text(ids)

    def look(self, pixels):
        return self.visual.look(pixels)

    logits = logits_of
