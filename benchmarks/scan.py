"""The selective scan on a processor: every form side by side, each number with its goal
and with the limit of this processor. `make bench` runs it.

All measurements are of this one run: process CPU time (wall time only where two cores
are compared with one), one thread, float32, 16 cells. What is compared takes turns in
each round, so that a busy machine slows all of them alike; the table has the median of
the rounds. Peers:

    mambapy     its parallel scan in plain PyTorch, from the package mambapy (no
                requirement of this project: `make bench` puts it into .venv/peers)
    HF loop     what transformers' Mamba does without CUDA kernels: everything
                discretised at once, then one token after the other, channels first

    python benchmarks/scan.py            everything, some minutes
    python benchmarks/scan.py --quick    small sizes and two rounds: does it run?
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

os.environ.update(OMP_NUM_THREADS='1')
import numpy as np
import torch

from brainmt.kernels import fused_mixer
from brainmt.kernels.numba_tools import compiled, signature
from brainmt.kernels.scan import selective_scan_chunked, selective_scan_ref
from brainmt.kernels.scan_cpu import selective_scan_numba
from brainmt.kernels.simd import LANES, add_times, exp2_four, load_four, store_four
from brainmt.kernels.testing import draw_scan, errors
from brainmt.model.mamba import MambaMixer, mix

sys.path.append(os.path.join(sys.prefix, 'peers'))
try:
    from mambapy.pscan import pscan
except ImportError:
    pscan = None

N, NAMES = 16, ('u', 'delta', 'A', 'B', 'C')


def inputs(b, l, d, seed=0, dtype=torch.float32):
    torch.manual_seed(seed)
    like = [
        torch.randn(b, l, d),
        torch.rand(b, l, d) / 10,
        -torch.arange(1.0, N + 1).repeat(d, 1),
        torch.randn(b, l, N),
        torch.randn(b, l, N),
    ]
    return [t.to(dtype).requires_grad_() for t in like]


def numba(*args, **kw):
    return selective_scan_numba(*args, delta_softplus=False, **kw)


def chunked(*args):
    return selective_scan_chunked(*args, delta_softplus=False)


def loop(*args):
    return selective_scan_ref(*args, delta_softplus=False)


def mambapy(u, delta, A, B, C):
    decay = torch.exp(delta.unsqueeze(-1) * A)
    enter = delta.unsqueeze(-1) * B.unsqueeze(2) * u.unsqueeze(-1)
    states = pscan(decay, enter)  # (b, l, d, n)
    return (states @ C.unsqueeze(-1)).squeeze(3)


def hf_loop(u, delta, A, B, C):
    u, delta = u.transpose(1, 2), delta.transpose(1, 2)  # (b, d, l)
    decay = torch.exp(A[None, :, None] * delta[..., None])
    enter = delta[..., None] * B[:, None] * u[..., None]
    h, y = u.new_zeros(len(u), *A.shape), []
    for t in range(u.shape[2]):
        h = decay[:, :, t] * h + enter[:, :, t]
        y.append((h @ C[:, t, :, None])[:, :, 0])
    return torch.stack(y, -1).transpose(1, 2)


# ---- measuring


def forward(scan, args, dy):
    with torch.no_grad():
        scan(*args)


def both_passes(scan, args, dy):
    torch.autograd.grad(scan(*args), args, dy)


def seconds(run, *args, clock=time.process_time):
    start = clock()
    run(*args)
    return clock() - start


def race(run, contestants, args, rounds, repeats=None, clock=time.process_time):
    """name → seconds per round; `repeats`: how often a fast one runs in a round (the
    median counts).
    """
    dy = torch.randn(args[0].shape, generator=torch.Generator().manual_seed(1))
    for scan in contestants.values():
        run(scan, args, dy)  # compile, warm up
    table = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, scan in contestants.items():
            times = (repeats or {}).get(name, 1)
            found = [seconds(run, scan, args, dy, clock=clock) for _ in range(times)]
            table[name].append(statistics.median(found))
    return table


def ratio(table, slow, fast):
    return statistics.median(s / f for s, f in zip(table[slow], table[fast]))


def nanoseconds(table, name, args):
    return statistics.median(table[name]) * 1e9 / args[0].numel()


# ---- the limit of this core


def _exponentials(lo, hi, scratch, x):
    p, q = load_four(x, 0), load_four(x, 4)
    for _ in range(hi):
        p, q = exp2_four(p), exp2_four(q)
    store_four(x, 0, p)
    store_four(x, 4, q)


def _multiply_adds(lo, hi, scratch, x):
    p, q, a, b = load_four(x, 0), load_four(x, 4), load_four(x, 8), load_four(x, 12)
    for _ in range(hi):
        p, q = add_times(b, p, a), add_times(b, q, a)
    store_four(x, 0, p)
    store_four(x, 4, q)


def limits(rounds):
    """ns per token and channel that the arithmetic alone takes, forward and both
    passes, from the rates of exponentials and multiply-adds on registers.
    """
    types, n = signature('f2c'), 200_000
    kernels = compiled('the limit', (_exponentials, types), (_multiply_adds, types))
    x, scratch = torch.rand(16, LANES).neg().numpy(), np.empty((1, LANES), np.float32)
    for k in kernels:
        k(0, n, scratch, x)
    # ns for a register
    exp, op = (
        min(seconds(k, 0, n, scratch, x) for _ in range(rounds)) * 1e9 / n / 8
        for k in kernels
    )
    per_channel = lambda exps, ops: N * (exps * exp + ops * op) / LANES
    # the way back: states again (ΔA, a h, + xB), then nine: g, h, dB, dC, dx,
    # dlog, a g, dΔ, dA
    return exp, op, per_channel(1, 4), per_channel(2, 4 + 3 + 9)


def two_cores():
    """A function that gives how much more two threads do than one where memory plays no
    part: what this machine has to give at the moment.
    """
    (kernel,) = compiled('the limit', (_exponentials, signature('f2c')))
    xs = [torch.rand(16, LANES).neg().numpy() for _ in range(2)]
    scratch, pool, n = np.empty((1, LANES), np.float32), ThreadPoolExecutor(2), 400_000
    both = lambda: list(pool.map(lambda x: kernel(0, n, scratch, x), xs))

    def now():
        one = seconds(kernel, 0, n, scratch, xs[0], clock=time.perf_counter)
        return 2 * one / seconds(both, clock=time.perf_counter)

    return now


# ---- memory, each in a process of its own


def resident(what):
    with open('/proc/self/status') as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith(what))


def extra_memory(name, l, d):
    """Peak memory of both passes above what is there before, in units of u; in this
    process.
    """
    scan = globals()[name]
    # compile
    both_passes(scan, small := inputs(1, 64, 32), torch.randn(small[0].shape))
    args, dy = inputs(1, l, d), torch.randn(1, l, d)
    # forget the peak so far
    with open('/proc/self/clear_refs', 'w') as f:
        f.write('5')
    before = resident('VmRSS')
    both_passes(scan, args, dy)
    return (resident('VmHWM') - before) / (4 * l * d)


def in_child(name, l, d):
    command = [sys.executable, __file__, '--memory', name, str(l), str(d)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout)


# ---- precision


def worst_error(l=500, d=48):
    """The worst ‖g − g64‖/‖g64‖ over the result, every gradient and both directions,
    for steps from 0.001 to 8.
    """
    args, worst = draw_scan(2, l, d, N), {}
    for reverse in (False, True):
        found = errors(selective_scan_numba, selective_scan_ref, args, reverse=reverse)
        worst = {name: max(error, worst.get(name, 0)) for name, error in found.items()}
    return max(worst, key=worst.get), max(worst.values())


# ---- the layer around the scan


def layers(rounds, l, d=512):
    """Seconds of a Mamba layer at the paper's width, forward and in both passes: step
    by step, fused, and its two large projections alone.
    """
    for both in (False, True):
        torch.manual_seed(0)
        m = MambaMixer(d, bidirectional=both)
        hidden = torch.randn(1, l, d, requires_grad=True)
        contestants = {
            'step by step': lambda h, *_: m.out_proj(mix(m.in_proj(h), m.directions())),
            'fused': lambda h, *_: m.out_proj(
                fused_mixer(m.in_proj(h), m.directions())
            ),
            'projections': lambda h, *_: m.out_proj(m.in_proj(h)[..., : 2 * d]),
        }
        args = [hidden, *m.parameters()]

        def passes(layer, args, dy):
            torch.autograd.grad(layer(*args), args, dy, allow_unused=True)

        yield (
            both,
            race(forward, contestants, args, rounds),
            race(passes, contestants, args, rounds),
        )


# ---- the table


def line(what, found, goal='', limit=''):
    print(f'{what:<66} {found:>30} {goal:>10}   {limit}', flush=True)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--rounds', type=int, default=7)
    parser.add_argument('--quick', action='store_true')
    parser.add_argument('--memory', nargs=3, help=argparse.SUPPRESS)
    o = parser.parse_args()
    torch.set_num_threads(1)
    if o.memory:
        return print(extra_memory(o.memory[0], *map(int, o.memory[1:])))
    if pscan is None:
        print(
            'mambapy is missing, its rows are left out: pip install --no-deps '
            '--target .venv/peers mambapy'
        )
    rounds, L = (2, lambda l: l // 10) if o.quick else (o.rounds, lambda l: l)

    def at(l):
        return f'L={L(l):,}'  # what is measured is what the row says

    exp, op, limit, limit_both = limits(3 * rounds)
    print(
        f'on this core a register of 16 exponentials takes {exp:.2f} ns, of 16 '
        f'multiply-adds {op:.2f} ns: the arithmetic of a scan is {limit:.2f} ns '
        f'forward, {limit_both:.2f} ns in both passes\n'
    )
    line(
        'selective scan, N = 16, float32, one thread',
        'measured',
        'goal',
        'limit, or what is compared',
    )

    args = inputs(1, L(10000), 128)
    table = race(
        forward,
        {'numba': numba, 'reversed': lambda *a: numba(*a, reverse=True)},
        args,
        3 * rounds,
    )
    found = nanoseconds(table, 'numba', args)
    line(
        f'forward, d=128, {at(10000)}: over its arithmetic limit',
        f'{found:.2f} ns = {found / limit:.2f}×',
        '≤ 1.25',
        f'{limit:.2f} ns per token and channel',
    )
    line(
        '   backwards over forwards',
        f'{ratio(table, "reversed", "numba"):.2f}×',
        '≤ 1.1',
    )
    contestants = {'numba': numba, 'chunked': chunked} | (
        {'mambapy': mambapy} if pscan else {}
    )
    table = race(both_passes, contestants, args, rounds, {'numba': 5})
    found = nanoseconds(table, 'numba', args)
    line(
        f'both passes, d=128, {at(10000)}',
        f'{found:.2f} ns',
        '',
        f'{limit_both:.2f} ns of arithmetic ({found / limit_both:.2f}×)',
    )
    if pscan:
        line(
            '   against mambapy',
            f'{ratio(table, "mambapy", "numba"):.0f}×',
            '≥ 150',
            f'mambapy {nanoseconds(table, "mambapy", args):.0f} ns; the limit would '
            f'be {nanoseconds(table, "mambapy", args) / limit_both:.0f}×',
        )
    line(
        '   against the chunked form',
        f'{ratio(table, "chunked", "numba"):.1f}×',
        '',
        f'chunked {nanoseconds(table, "chunked", args):.0f} ns',
    )

    long = inputs(1, L(50000), 128)
    dy, dy_long = torch.randn_like(args[0]), torch.randn_like(long[0])
    pairs = [
        (
            seconds(both_passes, numba, args, dy) / args[0].numel(),
            seconds(both_passes, numba, long, dy_long) / long[0].numel(),
        )
        for _ in range(2 * rounds)
    ]
    line(
        f'both passes, ns per token: {at(50000)} over {at(10000)}',
        f'{statistics.median(b / a for a, b in pairs):.2f}×',
        '≤ 1.2',
    )
    args = inputs(1, L(2000), 256)
    table = race(
        both_passes,
        {'numba': numba, 'loop': loop, 'HF loop': hf_loop},
        args,
        rounds if o.quick else 3,
        {'numba': 9},
    )
    line(
        f'both passes, d=256, {at(2000)}: against the HF loop',
        f'{ratio(table, "HF loop", "numba"):.0f}×',
        '≥ 1,000',
        f'HF loop {nanoseconds(table, "HF loop", args) / 1e3:.1f} µs',
    )
    line(
        '   against the plain loop with unbind (selective_scan_ref)',
        f'{ratio(table, "loop", "numba"):.0f}×',
        '',
        f'loop {nanoseconds(table, "loop", args) / 1e3:.2f} µs',
    )
    if pscan:
        args = inputs(1, L(2000), 1024)
        table = race(
            both_passes,
            {'mambapy': mambapy, 'chunked': chunked},
            args,
            rounds,
            {'chunked': 3},
        )
        line(
            f'chunked PyTorch against mambapy, both passes, d=1024, {at(2000)}',
            f'{ratio(table, "mambapy", "chunked"):.1f}×',
            '≥ 20',
            f'mambapy {nanoseconds(table, "mambapy", args):.0f} ns, chunked '
            f'{nanoseconds(table, "chunked", args):.1f} ns',
        )
    if os.path.exists('/proc/self/clear_refs'):
        for name, goal in dict(
            numba='≤ 4', chunked='', **dict(mambapy='') if pscan else {}
        ).items():
            line(
                f'extra peak memory of both passes, d=1024, {at(10000)}: {name}',
                f'{in_child(name, L(10000), 1024):.2f} × u',
                goal,
                'results alone: y, du, dΔ = 3 × u' if goal else '',
            )
    for both, once, twice in layers(rounds, L(2017)):
        name = f'Mamba layer, 512 channels, {at(2017)}, ' + (
            'both ways' if both else 'one way'
        )
        for label, table in (('forward', once), ('both passes', twice)):
            line(
                f'{name}, {label}: over its two projections',
                f'{ratio(table, "fused", "projections"):.2f}×',
                '' if both else '≤ 1.5',
                f'step by step {ratio(table, "step by step", "projections"):.2f}×',
            )
    line(
        'worst relative error of a gradient, Δ up to 8',
        '{1:.1e} ({0})'.format(*worst_error()),
        '≤ 2e-6',
        'float32 rounds at 6e-8',
    )
    for l in (2000, 10000) if os.cpu_count() > 1 else ():
        args, machine, given = inputs(1, L(l), 1024), two_cores(), []
        dy, by_threads = torch.randn_like(args[0]), {1: [], 2: []}
        for _ in range(4 * rounds + 1):
            for threads, found in by_threads.items():
                torch.set_num_threads(threads)
                found.append(
                    seconds(both_passes, numba, args, dy, clock=time.perf_counter)
                )
            given.append(machine())
        torch.set_num_threads(1)
        one, two = by_threads[1][1:], by_threads[2][1:]
        arithmetic = (
            f'{statistics.median(given[1:]):.2f}× for arithmetic alone, taking turns'
        )
        if l > 2000:
            arithmetic += (
                '; here fresh memory, 40 MB an array, is prepared by the system'
            )
        line(
            f'two cores over one, both passes, d=1024, {at(l)}, wall time',
            f'{statistics.median(a / b for a, b in zip(one, two)):.2f}×',
            '≥ 1.8',
            arithmetic,
        )


if __name__ == '__main__':
    main()
