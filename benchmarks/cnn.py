"""How close the CNN comes to the rate at which one core can multiply, at the full 2 mm
volume: python benchmarks/cnn.py

Process CPU time on one thread; the arrangements and the limit take turns within each
round, so that a busy machine slows all of them alike, and every ratio is taken within
its round (the table gives medians). The limit is the faster of two micro-benchmarks: a
large matrix product, and a pure convolution of the second conv block's shape with its
channels last. `naive` is the released arrangement: all frames at once, channels first,
the plain first layer. `ours` is `PatchEmbed` as it comes. Rates count the
multiplications of the plain formula and, in training, twice as many for the backward
pass (once for the first layer: nobody asks for the gradient of the voxels), so work
that is repeated or padded counts against us. Peak memory is the resident size of a
fresh process at its highest, less its size before the run (Linux). About five minutes.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

os.environ.setdefault('OMP_NUM_THREADS', '1')
import torch
import torch.nn.functional as F
from torch import nn

from brainmt.model.patch_embed import ConvBlock, PatchEmbed, Stem

VOLUME, LAST = (91, 109, 91), torch.channels_last_3d


# the released code's: the channels moved to the end and back, by copies
class _Norm(nn.Module):
    def __init__(self, norm):
        super().__init__()
        self.norm = norm

    def forward(self, x):
        return (
            self.norm(x.permute(0, 2, 3, 4, 1).contiguous())
            .permute(0, 4, 1, 2, 3)
            .contiguous()
        )


def naive_layer(layer):
    """The layer's forward pass as the released code writes it, with this layer's
    weights, channels first.
    """
    if isinstance(layer, Stem):
        return nn.Sequential(*layer)
    if not isinstance(layer, ConvBlock):
        return layer
    norm1, norm2 = _Norm(layer.norm1), _Norm(layer.norm2)
    return lambda x: (
        x + norm2(layer.conv2(F.gelu(norm1(layer.conv1(x)), approximate='tanh')))
    )


def arrangements():
    """Two sets of layers with equal weights: ours, and the naive one with its weights
    channels first.
    """
    torch.manual_seed(0)
    ours, naive = PatchEmbed(), PatchEmbed()
    naive.load_state_dict(ours.state_dict())
    return ours, naive.to(memory_format=torch.contiguous_format)


def naive_frames(naive, x):
    f = x.flatten(0, 1)
    for layer in naive:
        f = naive_layer(layer)(f)
    return f.flatten(2).transpose(1, 2).unflatten(0, x.shape[:2])


def seconds(run, backward=False, wrt=(), seed=None):
    start = time.process_time()
    if backward:
        torch.autograd.grad(run(), wrt, seed)
    else:
        with torch.no_grad():
            run()
    return time.process_time() - start


def limits():
    "The two micro-benchmarks: name → (function, floating-point operations)."
    a, out = torch.randn(1024, 1024), torch.empty(1024, 1024)
    x, w = (
        torch.randn(1, 256, 12, 14, 12).contiguous(memory_format=LAST),
        torch.randn(256, 256, 3, 3, 3).contiguous(memory_format=LAST),
    )
    return {
        'matrix product 1024³': (lambda: torch.mm(a, a, out=out), 2 * 1024**3),
        'convolution 256 → 256': (
            lambda: F.conv3d(x, w, padding=1),
            2 * 27 * 256 * 256 * 12 * 14 * 12,
        ),
    }


def operations(layer, x):
    """Floating-point operations of one forward pass through a layer, of its first
    convolution, and its output.
    """
    counts = []
    hooks = [
        m.register_forward_hook(
            lambda m, i, o: counts.append(2 * o.numel() * m.weight[0].numel())
        )
        for m in layer.modules()
        if isinstance(m, nn.Conv3d)
    ]
    with torch.no_grad():
        out = naive_layer(layer)(x)
    for hook in hooks:
        hook.remove()
    return sum(counts), counts[0], out


def rounds_of(tasks, rounds):
    """Times of all tasks, one after another in each round; the limit's rate in each
    round, in operations per second.
    """
    for task in tasks.values():
        task()
    times, rate = {name: [] for name in tasks}, []
    for _ in range(rounds):
        for name, task in tasks.items():
            times[name].append(task())
        rate.append(
            max(n / min(seconds(f) for _ in range(3)) for f, n in limits().values())
        )
    return times, rate


def report(name, operations, times, rate):
    (naive, ours), med = (times['naive'], times['ours']), statistics.median
    print(
        f'{name:<34} {1e3 * med(naive):9.0f} {1e3 * med(ours):9.0f} '
        f'{operations / med(ours) / 1e9:9.0f} '
        f'{med(operations / t / r for t, r in zip(naive, rate)):9.0%} '
        f'{med(operations / t / r for t, r in zip(ours, rate)):9.0%} '
        f'{med(a / b for a, b in zip(naive, ours)):8.2f}×',
        flush=True,
    )


def layer_by_layer(frames, rounds):
    ours, naive = arrangements()
    frame = torch.randn(1, 1, *VOLUME)
    for (name, a), b in zip(ours.named_children(), naive):
        n, first, out = operations(b, frame)
        x = frame.repeat(frames, 1, 1, 1, 1)  # all frames at once, channels first
        for backward in (False, True):
            stem = name == 'conv_down'
            inputs = (
                x.clone().requires_grad_(not stem),
                frame.contiguous(memory_format=LAST).requires_grad_(not stem),
            )
            seeds = (
                torch.randn_like(out).repeat(frames, 1, 1, 1, 1),
                torch.randn_like(out).contiguous(memory_format=LAST),
            )
            wrt = [
                [*layer.parameters(), *([] if stem else [x])]
                for layer, x in zip((b, a), inputs)
            ]
            run = naive_layer(b)
            tasks = dict(
                naive=lambda: (
                    seconds(lambda: run(inputs[0]), backward, wrt[0], seeds[0]) / frames
                ),
                ours=lambda: (
                    sum(
                        seconds(lambda: a(inputs[1]), backward, wrt[1], seeds[1])
                        for _ in range(frames)
                    )
                    / frames
                ),
            )
            report(
                f'{name}, {"training" if backward else "forward"}',
                (3 * n - first * stem) if backward else n,
                *rounds_of(tasks, rounds),
            )
        frame = out


def whole(frames, rounds):
    ours, naive = arrangements()
    x, total, first, f = (
        torch.randn(1, frames, 1, *VOLUME),
        0,
        None,
        torch.randn(1, 1, *VOLUME),
    )
    for layer in naive:
        n, head, f = operations(layer, f)
        total, first = total + n, first or head
    params = dict(naive=list(naive.parameters()), ours=list(ours.parameters()))
    runs = dict(
        naive=lambda: naive_frames(naive, x),
        ours=lambda: ours(x),
    )
    with torch.no_grad():
        gap = (runs['naive']() - runs['ours']()).abs().max()
    for backward in (False, True):
        tasks = {
            k: lambda k=k: (
                seconds(lambda: runs[k]().square().sum(), backward, params[k]) / frames
            )
            for k in runs
        }
        report(
            f'all, {frames} frames, {"training" if backward else "forward"}',
            3 * total - first if backward else total,
            *rounds_of(tasks, rounds),
        )
    ours.recompute = True
    report(
        f'all, {frames} frames, recompute=True',
        3 * total - first,
        *rounds_of(tasks, rounds),
    )
    print(f'largest difference between the two outputs: {gap:.1e}')


def peak(kind, frames):
    "In a process of its own: megabytes of one run beyond what was there before it."
    (ours, naive), x = arrangements(), torch.randn(1, frames, 1, *VOLUME)
    run = (
        (lambda: naive_frames(naive, x))
        if kind.startswith('naive')
        else (lambda: ours(x))
    )
    ours.recompute = 'recompute' in kind
    # Linux only
    size = lambda what: (
        int(re.search(rf'{what}:\s+(\d+) kB', Path('/proc/self/status').read_text())[1])
        / 1024
    )
    before = size('VmRSS')
    if 'forward' in kind:
        with torch.no_grad():
            run()
    else:
        run().square().sum().backward()
    print(size('VmHWM') - before)


def memory(frames):
    print(
        f'\n{"peak memory, MB":<34} ' + ' '.join(f'{f"{n} frames":>12}' for n in frames)
    )
    for kind in (
        'naive forward',
        'ours forward',
        'naive training',
        'ours training',
        'ours training recompute',
    ):
        mb = [
            float(
                subprocess.run(
                    [sys.executable, __file__, '--peak', kind, '--frames', str(n)],
                    check=True,
                    capture_output=True,
                    text=True,
                ).stdout
            )
            for n in frames
        ]
        print(f'{kind:<34} ' + ' '.join(f'{m:12.0f}' for m in mb), flush=True)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--frames', type=int, default=2)
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--peak', help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.peak:
        return peak(args.peak, args.frames)
    for name, (f, n) in limits().items():
        print(f'{name:<34} {n / min(seconds(f) for _ in range(10)) / 1e9:9.0f} GFLOP/s')
    print(
        f'\n{f"one thread, {VOLUME}, float32":<34} {"naive ms":>9} {"ours ms":>9} '
        f'{"GFLOP/s":>9} {"naive/lim":>9} {"ours/lim":>9} {"faster":>9}   (ms per '
        'frame; shares of the limit of the same round)'
    )
    layer_by_layer(args.frames, args.rounds)
    whole(args.frames, args.rounds)
    memory((args.frames, 4 * args.frames))


if __name__ == '__main__':
    main()
