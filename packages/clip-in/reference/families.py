"""The published models by our names for them: the kind of tower and the JSON of the library that publishes it.

`FULL` has their true sizes, `REDUCED` small models of the same structure for tests. Both: name -> (class, config).
"""
from towers import CustomTextClip, HuggingFaceClip, HuggingFaceSiglip, OpenClip

# open_clip's configurations

B32 = dict(image_size=224, layers=12, width=768, patch_size=32)
B16 = dict(B32, patch_size=16)
L14 = dict(image_size=224, layers=24, width=1024, patch_size=14)
H14 = dict(image_size=224, layers=32, width=1280, head_width=80, patch_size=14)
BIGG14 = dict(image_size=224, layers=48, width=1664, head_width=104, mlp_ratio=4.9231, patch_size=14)


def text(width, layers=12, **options):
    return dict(context_length=77, vocab_size=49408, width=width, heads=width // 64, layers=layers, **options)


def open_clip(embed_dim, vision, text, quick_gelu):
    return dict(embed_dim=embed_dim, vision_cfg=vision, text_cfg=text, **({"quick_gelu": True} if quick_gelu else {}))


def longer(text, **options):
    return dict(text, context_length=248, **options)


def siglip_text(width, heads, layers, vocab_size, context_length=64, mlp_ratio=4.0):
    return dict(
        context_length=context_length, vocab_size=vocab_size, width=width, heads=heads, layers=layers,
        mlp_ratio=mlp_ratio, no_causal_mask=True, proj_bias=True, pool_type="last", norm_kwargs={"eps": 1e-6},
        act_kwargs={"approximate": "tanh"},
    )


def siglip_open_clip(trunk, image_size, text):
    vision = dict(
        image_size=image_size, timm_model_name=trunk, timm_model_pretrained=False, timm_pool="map", timm_proj="none"
    )
    return dict(embed_dim=text["width"], init_logit_bias=-10, custom_text=True, vision_cfg=vision, text_cfg=text)


# transformers' config.json


def hf_tower(width, hidden, layers, heads, act, eps):
    return dict(
        hidden_size=width, intermediate_size=hidden, num_hidden_layers=layers, num_attention_heads=heads,
        hidden_act=act, layer_norm_eps=eps,
    )


def hf_clip(projection, vision, text, image_size, patch_size, vocab_size=49408, context=77):
    return dict(
        model_type="clip", architectures=["CLIPModel"], projection_dim=projection, logit_scale_init_value=2.6592,
        text_config=dict(
            hf_tower(*text, "quick_gelu", 1e-5), vocab_size=vocab_size, max_position_embeddings=context,
            projection_dim=projection,
        ),
        vision_config=dict(
            hf_tower(*vision, "quick_gelu", 1e-5), image_size=image_size, patch_size=patch_size,
            projection_dim=projection,
        ),
    )


def hf_siglip(size, image_size, patch_size, vocab_size, context=64, naflex=False):
    """NaFlex has `num_patches`, of the grid of learned positions, in the place of an image's size."""
    tower = hf_tower(*size, "gelu_pytorch_tanh", 1e-6)
    grid = dict(num_patches=(image_size // patch_size) ** 2) if naflex else dict(image_size=image_size)
    return dict(
        model_type="siglip2" if naflex else "siglip", architectures=["Siglip2Model" if naflex else "SiglipModel"],
        text_config=dict(
            tower, vocab_size=vocab_size, max_position_embeddings=context, projection_size=tower["hidden_size"]
        ),
        vision_config=dict(tower, patch_size=patch_size, **grid),
    )


HF_B = (768, 3072, 12, 12)
HF_L = (1024, 4096, 24, 16)
HF_TEXT_B, HF_TEXT_L = (512, 2048, 12, 8), (768, 3072, 12, 12)
SO400M = (1152, 4304, 27, 16)
SO400M_TEXT = siglip_text(1152, 16, 27, 256000, mlp_ratio=3.7362)

FULL = {
    "ViT-B/32": (HuggingFaceClip, hf_clip(512, HF_B, HF_TEXT_B, 224, 32)),
    "ViT-B/16": (OpenClip, open_clip(512, B16, text(512), True)),
    "ViT-L/14": (HuggingFaceClip, hf_clip(768, HF_L, HF_TEXT_L, 224, 14)),
    "ViT-L/14@336": (OpenClip, open_clip(768, dict(L14, image_size=336), text(768), True)),
    "LAION-ViT-B/32": (OpenClip, open_clip(512, B32, text(512), False)),
    "LAION-ViT-B/16": (OpenClip, open_clip(512, B16, text(512), False)),
    "LAION-ViT-L/14": (OpenClip, open_clip(768, L14, text(768), False)),
    "LAION-ViT-H/14": (OpenClip, open_clip(1024, H14, text(1024, 24), False)),
    "LAION-ViT-bigG/14": (OpenClip, open_clip(1280, BIGG14, text(1280, 32), False)),
    "DFN-ViT-H/14": (OpenClip, open_clip(1024, H14, text(1024, 24), True)),
    "DFN-ViT-H/14@378": (OpenClip, open_clip(1024, dict(H14, image_size=378), text(1024, 24), True)),
    "SigLIP-B/16": (HuggingFaceSiglip, hf_siglip(HF_B, 224, 16, 32000)),
    "SigLIP-So400m/14": (HuggingFaceSiglip, hf_siglip(SO400M, 224, 14, 32000, context=16)),
    "SigLIP-So400m/14@384": (HuggingFaceSiglip, hf_siglip(SO400M, 384, 14, 32000)),
    "SigLIP2-B/16": (CustomTextClip, siglip_open_clip("vit_base_patch16_siglip_224", 224, siglip_text(768, 12, 12, 256000))),
    "SigLIP2-So400m/14": (CustomTextClip, siglip_open_clip("vit_so400m_patch14_siglip_224", 224, SO400M_TEXT)),
    "SigLIP2-So400m/14@384": (HuggingFaceSiglip, hf_siglip(SO400M, 384, 14, 256000)),
    "SigLIP2-So400m/16@384": (CustomTextClip, siglip_open_clip("vit_so400m_patch16_siglip_384", 384, SO400M_TEXT)),
    "SigLIP2-B/16-NaFlex": (HuggingFaceSiglip, hf_siglip(HF_B, 256, 16, 256000, naflex=True)),
    "SigLIP2-So400m/16-NaFlex": (HuggingFaceSiglip, hf_siglip(SO400M, 256, 16, 256000, naflex=True)),
    "Long-CLIP-B/16": (OpenClip, open_clip(512, B16, longer(text(512), stretched=True), True)),
    "Long-CLIP-L/14": (OpenClip, open_clip(768, L14, longer(text(768), stretched=True), True)),
    "TULIP-B/16": (CustomTextClip, open_clip(512, B16, longer(text(512), rope=True), True)),
    "TULIP-L/14": (CustomTextClip, open_clip(768, L14, longer(text(768), rope=True), True)),
    "CLIP-IN-L/14@336": (CustomTextClip, open_clip(768, dict(L14, image_size=336), longer(text(768), rope=True), True)),
}

SMALL_VISION = dict(image_size=12, layers=2, width=24, head_width=12, patch_size=4)
SMALL_TEXT = dict(context_length=9, vocab_size=40, width=16, heads=2, layers=2)
# As So400m/14@384: a patch that does not divide the image, and perceptrons of 3.7362 times the width.
SMALL_SIGLIP = (24, 89, 2, 2)

REDUCED = {
    "openai": (HuggingFaceClip, hf_clip(20, (24, 96, 2, 2), (16, 64, 2, 2), 12, 4, vocab_size=40, context=9)),
    "laion": (OpenClip, open_clip(20, SMALL_VISION, SMALL_TEXT, False)),
    "dfn": (OpenClip, open_clip(16, dict(SMALL_VISION, width=20, head_width=10), SMALL_TEXT, True)),
    "siglip": (HuggingFaceSiglip, hf_siglip(SMALL_SIGLIP, 14, 4, 40, context=9)),
    "siglip2": (CustomTextClip, siglip_open_clip("reduced", 12, siglip_text(24, 2, 2, 40, 9, 3.7362))),
    "naflex": (HuggingFaceSiglip, hf_siglip(SMALL_SIGLIP, 12, 4, 40, context=9, naflex=True)),
    "long-clip": (OpenClip, open_clip(20, SMALL_VISION, dict(SMALL_TEXT, context_length=30, stretched=True), True)),
    "tulip": (CustomTextClip, open_clip(20, SMALL_VISION, dict(SMALL_TEXT, context_length=30, rope=True), True)),
}
