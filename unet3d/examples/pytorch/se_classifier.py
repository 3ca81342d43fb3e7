"""The twin of ../se_classifier.rs, which prints a loss a line.

cargo run -p unet3d --example se_classifier weights.safetensors
python se_classifier.py weights.safetensors > se_classifier.txt
"""

import sys

import torch
from safetensors.torch import load_file
from torch import nn

torch.set_default_dtype(torch.float64)


class SeBlock(nn.Module):
    def __init__(self, c):
        super().__init__()
        layers = []
        for _ in range(2):
            layers += [nn.Conv3d(c, c, 3, padding=1, bias=False), nn.InstanceNorm3d(c, affine=True), nn.LeakyReLU(0.01)]
        self.body = nn.Sequential(*layers)
        self.squeeze, self.excite = nn.Linear(c, c // 4), nn.Linear(c // 4, c)

    def forward(self, x):
        y = self.body(x)
        gate = self.excite(self.squeeze(y.mean((2, 3, 4))).relu()).sigmoid()
        return (x + y * gate[:, :, None, None, None]).relu()


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv3d(1, 8, 3)
        self.blocks = nn.ModuleList(SeBlock(8) for _ in range(2))
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean((2, 3, 4)))


net = Classifier()
net.load_state_dict(load_file(sys.argv[1]))
i = torch.arange(3 * 512, dtype=torch.float64)
volumes = torch.sin(0.1 * (i % 512) * (i // 512 + 1)).reshape(3, 1, 8, 8, 8)
optimizer = torch.optim.AdamW(net.parameters(), lr=0.01)
for step in range(10):
    loss = nn.functional.cross_entropy(net(volumes), torch.tensor([0, 1, 2]))
    print(f"{loss.item():.15f}")
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
