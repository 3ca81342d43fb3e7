#!/usr/bin/env python3
"""One training step of the reference U-Net in PyTorch, timed: prints one JSON line with the keys of the program train_step.

    pip install torch numpy
    python3 benches/train_step_pytorch.py --shape 1,1,96,96,96 --base 32 --levels 4 --mode cl+compile --steps 5

Level i has base * 2**i channels. A block is twice [Conv3d 3x3x3 without bias, InstanceNorm3d (affine), LeakyReLU (0.01)].
Down: MaxPool3d. Up: ConvTranspose3d whose kernel is its stride, [skip, up] concatenated, a block. Last: Conv3d 1x1x1 to
logits. Parameters have the names of crate unet3d's. Two steps warm up before the clock counts.
"""
import argparse
import json
import resource
import statistics
import time

import torch
from torch import nn

MODES = {
    "plain": "as PyTorch is",
    "cl": "channels_last_3d",
    "compile": "torch.compile",
    "bf16": "autocast to bfloat16",
}


def block(in_channels, out_channels):
    layers = []
    for channels in (in_channels, out_channels):
        layers += [
            nn.Conv3d(channels, out_channels, 3, padding=1, bias=False),
            nn.InstanceNorm3d(out_channels, affine=True),
            nn.LeakyReLU(0.01, inplace=True),
        ]
    return nn.Sequential(*layers)


class UNet3d(nn.Module):
    """Each of strides is one step down and one up."""

    def __init__(self, in_channels, out_channels, base, strides):
        super().__init__()
        channels = [base * 2**level for level in range(len(strides) + 1)]
        deepest_first = list(zip(channels, channels[1:], strides))[::-1]
        self.strides = strides
        self.enc = nn.ModuleList(block(above, own) for above, own in zip([in_channels] + channels, channels))
        self.up = nn.ModuleList(nn.ConvTranspose3d(below, own, stride, stride) for own, below, stride in deepest_first)
        self.dec = nn.ModuleList(block(2 * own, own) for own, _, _ in deepest_first)
        self.head = nn.Conv3d(base, out_channels, 1)

    def forward(self, x):
        skips = []
        for enc, stride in zip(self.enc, self.strides):
            skips.append(enc(x))
            x = nn.functional.max_pool3d(skips[-1], stride)
        x = self.enc[-1](x)
        for up, dec in zip(self.up, self.dec):
            x = dec(torch.cat([skips.pop(), up(x)], 1))
        return self.head(x)


def conv_flops(base, levels, voxels, in_channels, out_channels):
    """Multiply-adds x 2 of every convolution in a forward pass with strides of 2, counted as direct convolutions."""
    total = 2 * voxels * base * out_channels
    for level in range(levels):
        own, here = base * 2**level, voxels // 8**level
        above = in_channels if level == 0 else own // 2
        total += 54 * here * (above * own + own * own)
        if level + 1 < levels:
            total += 54 * here * 3 * own * own + 2 * here * 2 * own * own
    return total


def modes(text):
    names = text.split("+")
    if unknown := set(names) - set(MODES):
        raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))} is none of {', '.join(MODES)}")
    return names


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", default="1,1,64,64,64", help="n,c,d,h,w (default %(default)s)")
    parser.add_argument("--base", type=int, default=16, help="channels of the first level (default %(default)s)")
    parser.add_argument("--levels", type=int, default=4)
    parser.add_argument("--steps", type=int, default=5, help="timed steps (default %(default)s)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--infer", action="store_true", help="forward passes only")
    parser.add_argument("--mode", type=modes, default="plain",
                        help="one, or several joined by +: " + ", ".join(f"{name} ({what})" for name, what in MODES.items()))
    return parser.parse_args()


def main():
    args = parse()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    n, c, *size = map(int, args.shape.split(","))
    halves = size[0] % 2 ** (args.levels - 1) == 0
    model = UNet3d(c, 1, args.base, [(2 if halves else 1, 2, 2)] * (args.levels - 1))
    image = torch.randn(n, c, *size)
    target = (torch.rand(n, 1, *size) < 0.01).float()
    if "cl" in args.mode:
        model = model.to(memory_format=torch.channels_last_3d)
        image = image.to(memory_format=torch.channels_last_3d)
    if "compile" in args.mode:
        model = torch.compile(model)
    criterion = nn.BCEWithLogitsLoss(pos_weight=torch.tensor(10.0))
    adam = torch.optim.Adam(model.parameters(), 1e-3)
    autocast = torch.autocast("cpu", dtype=torch.bfloat16, enabled="bf16" in args.mode)

    seconds = []
    for _ in range(args.steps + 2):
        start = time.perf_counter()
        if args.infer:
            with torch.inference_mode(), autocast:
                model(image)
        else:
            adam.zero_grad(set_to_none=True)
            with autocast:
                loss = criterion(model(image).float(), target)
            loss.backward()
            adam.step()
        seconds.append(time.perf_counter() - start)
    timed = seconds[2:]
    median = statistics.median(timed)
    flops = conv_flops(args.base, args.levels, n * size[0] * size[1] * size[2], c, 1) * (1 if args.infer else 3)
    print(json.dumps({
        "engine": "pytorch " + torch.__version__,
        "mode": "+".join(args.mode),
        "shape": args.shape,
        "base": args.base,
        "levels": args.levels,
        "infer": args.infer,
        "threads": args.threads,
        "median_s": round(median, 4),
        "min_s": round(min(timed), 4),
        "gflops": round(flops / median / 1e9, 1) if halves else None,
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }))


if __name__ == "__main__":
    main()
