"""safetensors, written: 8 bytes of length, a JSON header, and the tensors one after another."""
import json
import struct

import torch

NAMES = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int32: "I32", torch.int64: "I64"}


def write_safetensors(path, tensors):
    header, at = {}, 0
    for name, x in tensors.items():
        size = x.numel() * x.element_size()
        header[name] = {"dtype": NAMES[x.dtype], "shape": list(x.shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for x in tensors.values():
            flat = x.detach().contiguous().reshape(-1)
            file.write((flat.view(torch.int16) if x.dtype == torch.bfloat16 else flat).numpy().tobytes())
