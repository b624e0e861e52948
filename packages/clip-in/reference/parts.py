"""What the reference towers of all names share."""
import math

import torch
import torch.nn.functional as F
from torch import nn

ACTIVATIONS = {
    "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x),
    "gelu": F.gelu,
    "gelu_pytorch_tanh": lambda x: F.gelu(x, approximate="tanh"),
}


class Activation(nn.Module):
    def __init__(self, name):
        super().__init__()
        self.apply_to = ACTIVATIONS[name]

    def forward(self, x):
        return self.apply_to(x)


def parameter(*shape):
    return nn.Parameter(torch.empty(shape))


def attend(q, k, v, heads, mask=None):
    """Attention written out: [batch, tokens, width] each, mask added to the scores -> result and weights."""

    def split(x):
        return x.unflatten(-1, (heads, -1)).transpose(1, 2)

    q, k, v = split(q), split(k), split(v)
    scores = q @ k.transpose(2, 3) / math.sqrt(q.shape[-1])
    weights = (scores if mask is None else scores + mask).softmax(-1)
    return (weights @ v).transpose(1, 2).flatten(2), weights


def causal_mask(tokens):
    return torch.full((tokens, tokens), -math.inf).triu(1)


class Mlp(nn.Module):
    """The names of timm and of transformers."""

    def __init__(self, width, hidden, activation):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.activation = ACTIVATIONS[activation]

    def forward(self, x):
        return self.fc2(self.activation(self.fc1(x)))


def look_through(pool, x):
    """Every patch as the pool sees it when there is no other, and how the pool spreads its looks."""
    alone = pool(x.flatten(0, 1)[:, None])[0]
    return alone.unflatten(0, x.shape[:2]), pool(x)[1]


def logits_of(model, images, texts):
    bias = getattr(model, "logit_bias", None)
    products = F.normalize(images, dim=-1) @ F.normalize(texts, dim=-1).T * model.logit_scale.exp()
    return products if bias is None else products + bias
