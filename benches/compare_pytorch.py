#!/usr/bin/env python3
"""Times a training step of the reference U-Net here and in PyTorch, and prints the ratios as a Markdown table.

    pip install torch numpy                       # PyPI's build, about 5 GB installed; CPU only is enough
    apt-get install libjemalloc2 g++              # jemalloc for PyTorch's fastest runs; g++ for torch.compile
    cargo build --release -p benches
    python3 benches/compare_pytorch.py --sweep    # once: every mode of PyTorch, three steps, keeps the fastest per shape
    python3 benches/compare_pytorch.py            # then: that mode and ours in turn, A B A B, each in its own process

PyTorch runs in the modes plain, cl (channels_last_3d), compile, cl+compile, and the same with bf16 (for
information, since it computes something coarser), each as installed and with jemalloc preloaded, which spares it the page
faults of fresh buffers. Both sides have the same net, loss (BCE with pos_weight 10), optimiser (Adam) and thread count:
src/bin/train_step.rs is ours, train_step_pytorch.py PyTorch's.
"""
import argparse
import json
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
MODES = ["plain", "cl", "compile", "cl+compile"]
JEMALLOC = "oversize_threshold:1,dirty_decay_ms:-1,muzzy_decay_ms:-1,thp:always"
CASES = [  # shape, base
    ("1,1,96,96,96", 32),
    ("1,1,30,256,256", 32),
    ("1,1,64,64,64", 16),
    ("1,1,30,256,256", 16),
]


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sweep", action="store_true", help="find PyTorch's fastest mode for each shape and keep it")
    parser.add_argument("--cases", help="shapes and bases, as 1,1,96,96,96:32;1,1,64,64,64:16 (default: the four of the table)")
    parser.add_argument("--steps", type=int, default=3, help="timed steps of one process (default 3)")
    parser.add_argument("--rounds", type=int, default=2, help="processes of each side for each line (default 2)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--modes", default=",".join(MODES + [f"{mode}+bf16" for mode in MODES]),
                        help="modes of the sweep (default: all)")
    parser.add_argument("--only-jemalloc", action="store_true", help="sweep with jemalloc preloaded only")
    parser.add_argument("--no-infer", action="store_true", help="training only")
    parser.add_argument("--python", default=sys.executable, help="the Python that has torch")
    parser.add_argument("--ours", default=HERE / "../target/release/train_step", type=pathlib.Path)
    parser.add_argument("--jemalloc", default=find_jemalloc(), help="libjemalloc.so.2")
    parser.add_argument("--winners", default=HERE / "../target/pytorch_winners.json", type=pathlib.Path,
                        help="where --sweep keeps what it found")
    args = parser.parse_args()
    if not args.ours.exists():
        sys.exit(f"{args.ours} is not there: cargo build --release -p benches, or name it with --ours")
    if not shutil.which(args.python) or subprocess.run([args.python, "-c", "import torch"], capture_output=True).returncode != 0:
        sys.exit(f"{args.python} cannot import torch: pip install torch numpy, or name one that can with --python")
    return args


def find_jemalloc():
    for folder in pathlib.Path("/usr/lib").glob("*-linux-gnu"):
        library = folder / "libjemalloc.so.2"
        if library.exists():
            return str(library)
    return None


def run(command, environment=None):
    """The JSON line of a process, or None if it failed (out of memory, no compiler)."""
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, env={**os.environ, **(environment or {})})
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode != 0 or not lines:
        print(f"# {' '.join(map(str, command))} failed: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
        return None
    return json.loads(lines[-1])


def flags(args, shape, base, infer):
    common = ["--shape", shape, "--base", base, "--levels", 4, "--steps", args.steps, "--threads", args.threads]
    return common + (["--infer"] if infer else [])


def pytorch(args, shape, base, infer, mode, jemalloc):
    environment = {"LD_PRELOAD": args.jemalloc, "MALLOC_CONF": JEMALLOC} if jemalloc else {}
    command = [args.python, HERE / "train_step_pytorch.py", *flags(args, shape, base, infer), "--mode", mode]
    return run(command, environment)


def ours(args, shape, base, infer):
    return run([args.ours, *flags(args, shape, base, infer)])


def key(shape, base, infer):
    return f"{shape} base {base} {'inference' if infer else 'training'}"


def lines(args):
    cases = [(c.split(":")[0], int(c.split(":")[1])) for c in args.cases.split(";")] if args.cases else CASES
    return [(shape, base, infer) for infer in ([False] if args.no_infer else [False, True]) for shape, base in cases]


def load(path):
    return json.loads(path.read_text()) if path.exists() else {}


def allocators(args):
    if args.jemalloc is None:
        print("# libjemalloc.so.2 is not there: PyTorch runs as installed only", file=sys.stderr)
        return [False]
    return [True] if args.only_jemalloc else [False, True]


def sweep(args):
    winners = load(args.winners)
    print("| case | mode | s | GFLOP/s | peak MB |\n|---|---|---|---|---|")
    for shape, base, infer in lines(args):
        found = {}
        for jemalloc in allocators(args):
            for mode in args.modes.split(","):
                result = pytorch(args, shape, base, infer, mode, jemalloc)
                if result:
                    name = mode + (" jemalloc" if jemalloc else "")
                    found[name] = result
                    print(f"| {key(shape, base, infer)} | {name} | {result['median_s']} | {result['gflops'] or '–'} | {result['peak_rss_mb']} |", flush=True)
        if not found:
            continue
        fastest = lambda wanted: min((name for name in found if wanted(name)), key=lambda name: found[name]["median_s"], default=None)
        winners[key(shape, base, infer)] = {
            "fp32": fastest(lambda name: "bf16" not in name),
            "installed": fastest(lambda name: "bf16" not in name and "jemalloc" not in name),
            "bf16": fastest(lambda name: "bf16" in name),
            "leanest_mb": min((r["peak_rss_mb"] for name, r in found.items() if "bf16" not in name), default=None),
            "installed_s": min((r["median_s"] for name, r in found.items() if "bf16" not in name and "jemalloc" not in name), default=None),
            "bf16_s": min((r["median_s"] for name, r in found.items() if "bf16" in name), default=None),
        }
        args.winners.parent.mkdir(parents=True, exist_ok=True)
        args.winners.write_text(json.dumps(winners, indent=1))


def compare(args):
    winners = load(args.winners)
    print(f"{platform.processor() or platform.machine()}, {cpu()}, {args.threads} threads; medians of {args.rounds} x {args.steps} steps in turn\n")
    print("| | PyTorch, its fastest fp32 mode | s | leanest MB | ours, s | peak MB | times faster | memory | as installed, s | bf16, s |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for shape, base, infer in lines(args):
        winner = winners.get(key(shape, base, infer))
        if winner is None:
            print(f"# no winner for {key(shape, base, infer)}: run --sweep first", file=sys.stderr)
            continue
        mode, *jemalloc = winner["fp32"].split()
        theirs, own = [], []
        for _ in range(args.rounds):
            theirs.append(pytorch(args, shape, base, infer, mode, bool(jemalloc)))
            own.append(ours(args, shape, base, infer))
        if None in theirs or None in own:
            continue
        median = lambda results: statistics.median(result["median_s"] for result in results)
        peak = lambda results: max(result["peak_rss_mb"] for result in results)
        a, b = median(theirs), median(own)
        leanest = min(filter(None, [winner["leanest_mb"], peak(theirs)]))
        seconds = lambda s: "–" if s is None else f"{s:.2f}"
        print(f"| {key(shape, base, infer)} | {winner['fp32']} | {a:.3f} | {leanest} | {b:.3f} | {peak(own)} "
              f"| {a / b:.2f} | {peak(own) / leanest:.2f} | {seconds(winner['installed_s'])} | {seconds(winner['bf16_s'])} |", flush=True)


def cpu():
    try:
        return next(line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name"))
    except (OSError, StopIteration):
        return "unknown processor"


if __name__ == "__main__":
    arguments = parse()
    sweep(arguments) if arguments.sweep else compare(arguments)
