"""Numbers of parameters of the published models, counted in PyTorch's modules with their names and not stored:

    python3 count_parameters.py > ../src/fixtures/parameter-counts.json
"""
import json

import torch

from families import FULL

torch.empty = (lambda empty: lambda *shape, **options: empty(*shape, **{**options, "device": "meta"}))(torch.empty)


def count(kind, config):
    parameters = dict(kind(config).named_parameters())
    image = [x for name, x in parameters.items() if name.startswith("visi") or name.startswith("visu")]
    logits = [x for name, x in parameters.items() if name.startswith("logit")]
    total = sum(x.numel() for x in parameters.values())
    images = sum(x.numel() for x in image)
    return {"image": images, "text": total - images - len(logits), "total": total}


print(json.dumps({name: count(*family) for name, family in FULL.items()}, indent=1))
