"""The causal convolution's implementations side by side, beside the plain copy that limits them: `python benchmarks/conv.py`.

Process CPU time on one thread, the implementations taking turns within each round, so that a busy machine slows all of them alike.
The input is one half of a larger tensor, as the mixer's in_proj emits it. The table gives the median over rounds in ns per token and
channel, and how many times longer than it takes a plain copy of the same round to move as many bytes: 8 in the forward pass (x, y),
20 in both (x, y; dy, x, dx).
"""

import argparse
import os
import statistics
import time

os.environ.update(OMP_NUM_THREADS='1', NUMBA_NUM_THREADS='1')
import torch

from brainmt.kernels.conv import (
    causal_conv_numba,
    causal_conv_reference,
    causal_conv_torch,
)
from brainmt.kernels.simd import why_not

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
    convs = dict(reference=causal_conv_reference, torch=causal_conv_torch) | (
        {} if why_not('cpu') else dict(numba=causal_conv_numba)
    )
    print(
        f'{"size (b, l, d), k = 4, SiLU, float32":<38} {"pass":<30} {"copy":>10} '
        + ' '.join(f'{name:>22}' for name in convs)
    )
    for name, (b, l, d) in SIZES.items():
        args, dy = inputs(b, l, d)
        for backward, reverse in (
            (False, False),
            (False, True),
            (True, False),
            (True, True),
        ):
            # compile, warm up
            for conv in convs.values():
                seconds(conv, args, dy, reverse, backward)
            y = torch.empty(b, l, d)
            times = [
                dict(
                    copy=copy_seconds(args[0], y, 20 if backward else 8),
                    **{
                        k: seconds(conv, args, dy, reverse, backward)
                        for k, conv in convs.items()
                    },
                )
                for _ in range(rounds)
            ]
            ns = lambda k: statistics.median(t[k] for t in times) * 1e9 / (b * l * d)
            label = ('forward, backward' if backward else 'forward') + (
                ', reverse' if reverse else ''
            )
            print(
                f'{name:<38} {label:<30} {ns("copy"):>7.2f} ns '
                + ' '.join(
                    f'{ns(k):>9.2f} ns '
                    f'({statistics.median(t[k] / t["copy"] for t in times):>5.1f}×)'
                    for k in convs
                ),
                flush=True,
            )


if __name__ == '__main__':
    main()
