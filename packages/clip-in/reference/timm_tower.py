"""The image tower that open_clip puts around SigLIP, with the names of timm; see `towers.py`."""
from torch import nn

from parts import Mlp, attend, look_through, parameter

# width, layers, heads, hidden, patch, activation. The towers that timm has had since the first SigLIP have plain GELU there,
# also where SigLIP 2 came in the same sizes; the later ones its tanh approximation.
TIMM = {
    "vit_base_patch16_siglip_224": (768, 12, 12, 3072, 16, "gelu"),
    "vit_so400m_patch14_siglip_224": (1152, 27, 16, 4304, 14, "gelu"),
    "vit_so400m_patch14_siglip_384": (1152, 27, 16, 4304, 14, "gelu"),
    "vit_so400m_patch16_siglip_384": (1152, 27, 16, 4304, 16, "gelu_pytorch_tanh"),
    "reduced": (24, 2, 2, 89, 4, "gelu_pytorch_tanh"),  # not timm's
}


class TimmAttention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x):
        return self.proj(attend(*self.qkv(x).chunk(3, -1), self.heads)[0])


class TimmBlock(nn.Module):
    def __init__(self, width, heads, hidden, activation):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.attn, self.mlp = TimmAttention(width, heads), Mlp(width, hidden, activation)

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class TimmPool(nn.Module):
    def __init__(self, width, heads, hidden, activation):
        super().__init__()
        self.heads = heads
        self.latent = parameter(1, 1, width)
        self.q, self.kv, self.proj = nn.Linear(width, width), nn.Linear(width, 2 * width), nn.Linear(width, width)
        self.norm, self.mlp = nn.LayerNorm(width, eps=1e-6), Mlp(width, hidden, activation)

    def forward(self, x):
        mixed, weights = attend(self.q(self.latent.expand(len(x), -1, -1)), *self.kv(x).chunk(2, -1), self.heads)
        x = self.proj(mixed)
        return (x + self.mlp(self.norm(x)))[:, 0], weights[:, :, 0]


class TimmTrunk(nn.Module):
    def __init__(self, name, image_size):
        super().__init__()
        width, layers, heads, hidden, patch, activation = TIMM[name]
        self.pos_embed = parameter(1, (image_size // patch) ** 2, width)
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, width, patch, patch)})
        self.blocks = nn.ModuleList(TimmBlock(width, heads, hidden, activation) for _ in range(layers))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.attn_pool = TimmPool(width, heads, hidden, activation)

    def forward(self, pixels):
        x = self.patch_embed["proj"](pixels).flatten(2).transpose(1, 2) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


class TimmTower(nn.Module):
    def __init__(self, name, image_size):
        super().__init__()
        self.trunk = TimmTrunk(name, image_size)

    def forward(self, pixels):
        return self.trunk.attn_pool(self.trunk(pixels))[0]

    def look(self, pixels):
        return look_through(self.trunk.attn_pool, self.trunk(pixels))
