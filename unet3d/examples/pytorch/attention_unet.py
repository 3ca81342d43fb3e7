"""The twin of ../attention_unet.rs, which prints a loss a line.

cargo run -p unet3d --example attention_unet weights.safetensors
python attention_unet.py weights.safetensors > attention_unet.txt
"""

import sys

import torch
from safetensors.torch import load_file
from torch import nn

torch.set_default_dtype(torch.float64)


def block(i, o):
    layers = []
    for c in (i, o):
        layers += [nn.Conv3d(c, o, 3, padding=1, bias=False), nn.InstanceNorm3d(o, affine=True), nn.LeakyReLU(0.01)]
    return nn.Sequential(*layers)


class Level(nn.Module):
    def __init__(self, i, o):
        super().__init__()
        self.up = nn.ConvTranspose3d(i, o, 2, 2)
        self.gate = nn.ModuleList([nn.Conv3d(o, o // 2, 1), nn.Conv3d(o, o // 2, 1), nn.Conv3d(o // 2, 1, 1)])
        self.block = block(2 * o, o)

    def forward(self, skip, below):
        up, (of_skip, of_up, of_sum) = self.up(below), self.gate
        weight = of_sum((of_skip(skip) + of_up(up)).relu()).sigmoid()
        return self.block(torch.cat([skip * weight, up], 1))


class AttentionUNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.ModuleList([block(1, 4), block(4, 8), block(8, 16)])
        self.levels = nn.ModuleList([Level(16, 8), Level(8, 4)])
        self.head = nn.Conv3d(4, 1, 1)

    def forward(self, x):
        skips = []
        for i, encode in enumerate(self.encoder):
            x = encode(x if i == 0 else nn.functional.max_pool3d(x, 2))
            skips.append(x)
        skips.pop()
        for level in self.levels:
            x = level(skips.pop(), x)
        return self.head(x)


net = AttentionUNet()
net.load_state_dict(load_file(sys.argv[1]))
i = torch.arange(8 * 16 * 16, dtype=torch.float64)
wave = (torch.sin(0.05 * i) + torch.cos(0.31 * i)).reshape(1, 1, 8, 16, 16)
mask = (wave > 1.2).to(torch.float64)
optimizer = torch.optim.AdamW(net.parameters(), lr=0.01)
for step in range(10):
    loss = nn.functional.binary_cross_entropy_with_logits(net(wave), mask, pos_weight=torch.tensor(5.0))
    print(f"{loss.item():.15f}")
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
