"""Value and gradients of SigLIP's loss in float64, for ../src/losses.test.ts: python3 sigmoid_loss.py > ../src/fixtures/sigmoid-loss.json"""
import json

import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)
PAIRS, WIDTH = 3, 4
waves = torch.arange(PAIRS * WIDTH).reshape(PAIRS, WIDTH)
images = F.normalize(torch.sin(1 + 0.7 * waves), dim=-1).requires_grad_()
texts = F.normalize(torch.cos(2 + 0.9 * waves), dim=-1).requires_grad_()
scale, bias = torch.tensor(2.1, requires_grad=True), torch.tensor(-1.5, requires_grad=True)
loss = -F.logsigmoid((2 * torch.eye(PAIRS) - 1) * (images @ texts.T * scale + bias)).sum() / PAIRS
loss.backward()
print(json.dumps({
    "images": images.tolist(), "texts": texts.tolist(), "scale": scale.item(), "bias": bias.item(), "loss": loss.item(),
    "gradients": {
        "images": images.grad.tolist(), "texts": texts.grad.tolist(), "scale": scale.grad.item(), "bias": bias.grad.item(),
    },
}, indent=1))
