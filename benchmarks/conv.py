"""The causal convolution's implementations side by side, beside the plain copy that
limits them: `python benchmarks/conv.py`.

Process CPU time on one thread, the implementations taking turns within each round, so
that a busy machine slows all of them alike. The input is one half of a larger tensor,
as the mixer's in_proj emits it. The table gives the median over rounds in ns per token
and channel, and how many times longer than it takes a plain copy of the same round to
move as many bytes: 8 in the forward pass (x, y), 20 in both (x, y; dy, x, dx).
"""

import argparse
import itertools
import os
import statistics
import time

os.environ.update(OMP_NUM_THREADS='1', NUMBA_NUM_THREADS='1')
import torch

from brainmt.kernels.conv import causal_conv_reference, causal_conv_torch
from brainmt.kernels.conv_cpu import causal_conv_numba
from brainmt.kernels.numba_tools import why_not_numba

# (b, l, d)
SIZES = {
    'one sequence (1, 2017, 1024)': (1, 2017, 1024),
    'the demonstration (16, 385, 32)': (16, 385, 32),
}
K = 4  # taps of a filter


def inputs(b, l, d):
    torch.manual_seed(0)
    leaf = [torch.randn(b, l, 2 * d)[..., :d], torch.randn(d, K), torch.randn(d)]
    return [t.requires_grad_() for t in leaf], torch.randn(b, l, d)


def seconds(conv, args, dy, reverse, backward):
    start = time.process_time()
    if backward:
        torch.autograd.grad(conv(*args, reverse=reverse), args, dy)
    else:
        with torch.no_grad():
            conv(*args, reverse=reverse)
    return time.process_time() - start


def copy_seconds(x, y, bytes_moved):
    start = time.process_time()
    y.copy_(x.detach())
    return (time.process_time() - start) * bytes_moved / 8


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--rounds', type=int, default=21)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    convs = dict(reference=causal_conv_reference, torch=causal_conv_torch)
    if not why_not_numba('cpu'):
        convs['numba'] = causal_conv_numba
    header = f'{"size (b, l, d), k = 4, SiLU, float32":<38} {"pass":<30} {"copy":>10} '
    print(header + ' '.join(f'{name:>22}' for name in convs))
    for (name, size), backward, reverse in itertools.product(
        SIZES.items(), (False, True), (False, True)
    ):
        args, dy = inputs(*size)
        y, moved = torch.empty(size), 20 if backward else 8
        # compile, warm up
        for conv in convs.values():
            seconds(conv, args, dy, reverse, backward)
        times = {name: [] for name in ('copy', *convs)}
        for _ in range(rounds):
            times['copy'].append(copy_seconds(args[0], y, moved))
            for kind, conv in convs.items():
                times[kind].append(seconds(conv, args, dy, reverse, backward))
        label = ('forward, backward' if backward else 'forward') + ', reverse' * reverse
        row = f'{name:<38} {label:<30}'
        for kind, found in times.items():
            ns = statistics.median(found) * 1e9 / y.numel()
            ratio = statistics.median(t / c for t, c in zip(found, times['copy']))
            row += f' {ns:>9.2f} ns' + f' ({ratio:>5.1f}×)' * (kind != 'copy')
        print(row, flush=True)


if __name__ == '__main__':
    main()
