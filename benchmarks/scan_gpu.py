"""The selective scan and the causal convolution on a CUDA GPU: brainmt's Triton kernels
against mamba-ssm's and causal-conv1d's, forward and with the backward pass, in time and
memory.

    python benchmarks/scan_gpu.py           b = 1, d = 1024, N = 16, L = 50,401, both
                                            directions, bfloat16: BrainMT's default
    python benchmarks/scan_gpu.py --tune    the scan's Triton kernels with other
                                            chunks, tiles and groups
    python benchmarks/scan_gpu.py --conv    the convolution alone: 4 taps, SiLU, each
                                            direction in turn

Both directions: Triton runs them in one launch. mamba-ssm runs its kernel twice,
measured twice over: `mamba_ssm` gets tensors that already lie as it wants them, (b, d,
l), and already flipped, its best case; `mamba_ssm, adapted` gets what brainmt's layers
have, (b, l, d), and transposes and flips. The convolution is measured on one half of a
wider array, as `in_proj` emits it, channels last, which causal-conv1d takes as well;
its second direction flips there. The bytes that must be read and written give a limit:
it is printed as the bandwidth that was reached. First every one is held against the
chunked form in float64, at a length of 1,000. Then they take turns within each round;
the table gives medians of CUDA events, and the peak of memory above what is there
before the call. Goals: at least 1.0 times mamba_ssm forward and with the backward pass,
1.3 times hoped for; memory no higher. Ends with 2 and a sentence where there is no GPU,
with 1 where a result is wrong.
"""

import argparse
import itertools
import statistics
import sys
from functools import partial

import torch

from brainmt.kernels import causal_conv
from brainmt.kernels.conv_gpu import causal_conv_triton
from brainmt.kernels.cuda_packages import (
    causal_conv_causal_conv1d,
    selective_scan_mamba_ssm,
    why_not_causal_conv1d,
    why_not_mamba_ssm,
)
from brainmt.kernels.scan import selective_scan_chunked
from brainmt.kernels.scan_gpu import selective_scan_triton_both
from brainmt.kernels.triton_tools import why_not_triton

NAMES = 'u', 'delta', 'A', 'B', 'C', 'D', 'z', 'delta_bias'


def inputs(b, l, d, n, dtype, gate):
    """Arguments of both directions, as a trained layer makes them: step sizes of 0.001
    to 0.1; the gate is shared.
    """
    g = torch.Generator('cuda').manual_seed(0)
    normal = lambda *shape: torch.randn(*shape, generator=g, device='cuda')
    step = lambda: torch.exp(
        torch.rand(b, l, d, generator=g, device='cuda') * 4.6 - 6.9
    )
    z = normal(b, l, d).to(dtype).requires_grad_() if gate else None

    def one():
        s = step()
        raw = dict(
            u=normal(b, l, d).to(dtype),
            delta=(s + torch.log(-torch.expm1(-s))).to(dtype),
            A=-torch.arange(1.0, n + 1, device='cuda').repeat(d, 1),
            B=normal(b, l, n).to(dtype),
            C=normal(b, l, n).to(dtype),
            D=normal(d),
            delta_bias=0.01 * normal(d),
        )
        return tuple(z if k == 'z' else raw[k].requires_grad_() for k in NAMES)

    return one(), one()


def adapted(forward, backward):
    return selective_scan_mamba_ssm(*forward), selective_scan_mamba_ssm(
        *backward, reverse=True
    )


def chunked(forward, backward):
    return selective_scan_chunked(*forward), selective_scan_chunked(
        *backward, reverse=True
    )


def native(forward, backward):
    "mamba-ssm on tensors in its own layout."
    from mamba_ssm.ops.selective_scan_interface import selective_scan_fn

    return tuple(
        selective_scan_fn(
            *args[:5], D=args[5], z=args[6], delta_bias=args[7], delta_softplus=True
        )
        for args in (forward, backward)
    )


def as_native(pair):
    "The same numbers, channels first, the second direction flipped."

    def one(args, reverse):
        turned = lambda t: (
            None
            if t is None
            else (t.detach().flip(1) if reverse else t.detach())
            .transpose(1, 2)
            .contiguous()
            .requires_grad_()
        )
        return tuple(
            turned(t) if k in ('u', 'delta', 'B', 'C', 'z') else t
            for k, t in zip(NAMES, args)
        )

    return one(pair[0], False), one(pair[1], True)


def leaves(pair):
    return list(dict.fromkeys(t for args in pair for t in args if t is not None))


def call(scan, pair, backward):
    if not backward:
        with torch.no_grad():
            return scan(*pair)
    y, y_back = scan(*pair)
    return torch.autograd.grad(
        [y, y_back], leaves(pair), [torch.ones_like(y), torch.ones_like(y_back)]
    )


def wrong(scan, pair, truth=chunked):
    """The worst relative difference of values and gradients from float64, and what is
    tolerated for this dtype.
    """
    same = {t: t.detach().double().requires_grad_() for t in leaves(pair)}
    exact = tuple(tuple(None if t is None else same[t] for t in args) for args in pair)
    found, right = (
        [*call(s, p, False), *call(s, p, True)]
        for s, p in ((scan, pair), (truth, exact))
    )
    tolerance = 2e-5 if pair[0][0].dtype == torch.float32 else 2e-2
    return max(
        ((f - t).norm() / t.norm()).item() for f, t in zip(found, right)
    ), tolerance


def milliseconds(scan, pair, backward):
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    call(scan, pair, backward)
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end)


def peak(scan, pair, backward):
    "MiB above what is there before."
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    call(scan, pair, backward)
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - before) / 2**20


def compare(scans, given, rounds, rival, traffic=None):
    """The tables, forward and with the backward pass; `given(name)`: the arguments of a
    scan. `traffic`: bytes of both directions, forward and with the backward pass.
    """
    for backward in (False, True):
        # compile, warm up
        for name, scan in scans.items():
            [call(scan, given(name), backward) for _ in range(3)]
        times = [
            {
                name: milliseconds(scan, given(name), backward)
                for name, scan in scans.items()
            }
            for _ in range(rounds)
        ]
        print(
            f'\n{"forward, backward" if backward else "forward":<38} {"ms":>8} '
            f'{"peak MiB":>10} {"× " + rival:>16}'
            + f' {"GB/s":>8}'
            * (traffic is not None)
        )
        for name, scan in scans.items():
            ratio = (
                f'{statistics.median(t[rival] / t[name] for t in times):.2f}'
                if rival in scans
                else '–'
            )
            middle = statistics.median(t[name] for t in times)
            rate = (
                '' if traffic is None else f' {traffic[backward] / middle / 1e6:>8,.0f}'
            )
            print(
                f'{name:<38} {middle:>8.3f} '
                f'{peak(scan, given(name), backward):>10,.0f} {ratio:>16}{rate}',
                flush=True,
            )


def convolutions(a, dtype, taps=4):
    "The convolution, in both directions, one after the other."

    def made(length):
        g = torch.Generator('cuda').manual_seed(0)
        normal = lambda *shape: torch.randn(*shape, generator=g, device='cuda')
        x = normal(a.batch, length, 2 * a.channels).to(dtype)[..., : a.channels]
        x = x.detach().requires_grad_()
        filters = lambda: (normal(a.channels, taps), normal(a.channels))
        return tuple((x, *(t.requires_grad_() for t in filters())) for _ in range(2))

    def both(conv):
        return lambda first, second: (conv(*first), conv(*second, reverse=True))

    convs = {
        'triton': both(causal_conv_triton),
        'torch': both(partial(causal_conv, backend='torch')),
    }
    exact = both(partial(causal_conv, backend='reference'))
    if reason := why_not_causal_conv1d('cuda'):
        print(f'\nWithout causal_conv1d: {reason}')
    else:
        convs['causal_conv1d'] = both(causal_conv_causal_conv1d)
    for name, conv in convs.items():
        error, tolerance = wrong(conv, made(1001), exact)
        if not error <= tolerance:
            sys.exit(
                f'the convolution by {name} is wrong: relative error {error:.1e}, '
                f'tolerated {tolerance:.0e}.'
            )
    print(f'\nThe convolution, {taps} taps, SiLU, both directions one after the other')
    pair, once = made(a.length), a.batch * a.length * a.channels * dtype.itemsize
    # x → y; then x, dy → dx
    compare(
        convs,
        lambda name: pair,
        a.rounds,
        'causal_conv1d',
        traffic=(2 * 2 * once, 2 * 5 * once),
    )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--length', type=int, default=50_401)
    parser.add_argument('--channels', type=int, default=1024)
    parser.add_argument('--cells', type=int, default=16)
    parser.add_argument('--batch', type=int, default=1)
    parser.add_argument(
        '--dtype', choices=['bfloat16', 'float16', 'float32'], default='bfloat16'
    )
    parser.add_argument(
        '--gate',
        action='store_true',
        help='hand z to the scan; BrainMT gates after the mean of both directions',
    )
    parser.add_argument('--rounds', type=int, default=20)
    parser.add_argument('--tune', action='store_true')
    parser.add_argument('--conv', action='store_true', help='the convolution alone')
    a = parser.parse_args()
    reason = 'it needs a CUDA GPU, and PyTorch sees none here.'
    if torch.cuda.is_available():
        reason = why_not_triton('cuda')
    if reason:
        print(f'This benchmark cannot run: {reason}', file=sys.stderr)
        sys.exit(2)

    dtype = getattr(torch, a.dtype)
    print(
        f'{torch.cuda.get_device_name()}, torch {torch.__version__}; b={a.batch} '
        f'd={a.channels} N={a.cells} L={a.length:,} {a.dtype}, both directions'
        f'{", gated" * a.gate}'
    )
    if a.conv:
        return convolutions(a, dtype)

    scans = {'triton': selective_scan_triton_both}
    if a.tune:
        for c, t, g in itertools.product((64, 128, 256), (4, 8), (4, 8, 16)):
            tuned = partial(selective_scan_triton_both, chunk=c, tile=t, group=g)
            scans[f'triton, chunk={c} tile={t} group={g}'] = tuned
    elif reason := why_not_mamba_ssm('cuda'):
        print(f'Without mamba_ssm: {reason}')
    else:
        scans |= {'mamba_ssm': native, 'mamba_ssm, adapted': adapted}
    short, pair = (
        inputs(a.batch, l, a.channels, a.cells, dtype, a.gate) for l in (1000, a.length)
    )
    for name, scan in scans.items():
        error, tolerance = wrong(adapted if scan is native else scan, short)
        if not error <= tolerance:
            sys.exit(
                f'{name} is wrong: relative error {error:.1e}, tolerated '
                f'{tolerance:.0e}.'
            )
    other = as_native(pair) if 'mamba_ssm' in scans else None
    compare(
        scans,
        lambda name: other if name == 'mamba_ssm' else pair,
        a.rounds,
        'mamba_ssm',
    )
    if not a.tune:
        convolutions(a, dtype)


if __name__ == '__main__':
    main()
