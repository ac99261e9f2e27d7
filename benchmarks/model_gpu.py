"""One training step of the paper's model on a CUDA GPU: use of the hardware, memory,
and time against the released model with mamba-ssm.

    python benchmarks/model_gpu.py                  paper preset, 200 frames, 1 scan,
    bfloat16: the goals are set for this
    python benchmarks/model_gpu.py --frames 50      a shorter scan

Use of the hardware (model FLOPs utilisation): three times the operations of a forward
pass, as `brainmt.model.estimate` counts them, over the time of a step and over the rate
that the same GPU reaches in a bfloat16 product of two 8192³ matrices, measured in the
same run. What is computed twice with checkpointing (the CNN's inner values,
`recompute=True`) is not counted twice. Peak memory: what PyTorch allocated for one
step, weights, gradients and AdamW included, without checkpointing and with it. The
released architecture comes from `benchmarks/model.py`, with mamba-ssm's scan in place
of the loop and the same shape, `released` preset; without mamba-ssm that comparison is
left out, and said to be. It is first held against our model: one set of weights, one
logit. The models take turns within each round; the table gives medians. Goals: at least
40 %, at most 24 GB, at least twice as fast as the released model. Ends with 2 and a
sentence where there is no GPU, with 1 where the two models do not agree.
"""

import argparse
import statistics
import sys
import time
from dataclasses import replace
from functools import partial

import torch
from model import Released, loop_scan  # beside this file

from brainmt.kernels.cuda_packages import why_not_mamba_ssm
from brainmt.model.brainmt import PRESETS, BrainMT
from brainmt.model.estimate import estimate

GOALS = dict(use=0.40, memory=24e9, speed=2.0)


def mamba_scan(u, delta, A, B, C, D):
    "mamba-ssm's kernel in the layout it likes; u, delta: (b, d, l); B, C: (b, n, l)."
    from mamba_ssm.ops.selective_scan_interface import selective_scan_fn

    return selective_scan_fn(
        u, delta.to(u.dtype), A.float(), B.to(u.dtype), C.to(u.dtype), D=D.float()
    )


def synchronize(device):
    if device == 'cuda':
        torch.cuda.synchronize()


def seconds(call, device):
    synchronize(device)
    start = time.perf_counter()
    call()
    synchronize(device)
    return time.perf_counter() - start


def product_rate(side, device, rounds=10):
    """Operations per second of a bfloat16 product of two square matrices, the best of
    some.
    """
    a, b = (
        torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2)
    )
    for _ in range(3):
        a @ b
    return 2 * side**3 / min(seconds(lambda: a @ b, device) for _ in range(rounds))


class Trainee:
    "A model with its optimiser and one batch; calling it trains one step."

    def __init__(self, make, config, frames, device):
        torch.manual_seed(0)
        self.device, self.model = device, make(config).to(device).train()
        self.optimiser = torch.optim.AdamW(
            self.model.parameters(), fused=device == 'cuda'
        )
        self.x = torch.randn(1, frames, 1, *config.volume, device=device)

    def __call__(self):
        with torch.autocast(self.device, torch.bfloat16):
            loss = self.model(self.x).float().square().mean()
        loss.backward()
        self.optimiser.step()
        self.optimiser.zero_grad()


def measured(makers, frames, device, rounds):
    """Name → (median seconds of a step, peak bytes or None where it does not fit).

    One model at a time is on the device when its peak is taken.
    """
    peaks, times = {}, {name: [] for name in makers}
    # the first compiles, warms up and measures memory
    for round in range(1 + rounds):
        for name, (make, config) in makers.items():
            if name in peaks and peaks[name] is None:
                continue
            if device == 'cuda':
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats()
            try:
                trainee = Trainee(make, config, frames, device)
                # AdamW's moments exist from the second on
                for _ in range(2):
                    trainee()
                if round:
                    times[name].append(seconds(trainee, device))
                else:
                    synchronize(device)
                    peaks[name] = (
                        torch.cuda.max_memory_allocated() if device == 'cuda' else 0
                    )
            except torch.cuda.OutOfMemoryError:
                peaks[name] = None
            trainee = None
    return {
        name: (statistics.median(times[name]) if times[name] else None, peaks[name])
        for name in makers
    }


def same_numbers(config, scan, device):
    """Exit with 1 unless the released architecture made here has our logit for our
    weights, in float32.
    """
    config = replace(config, num_frames=3, drop_path=0.0)
    torch.manual_seed(0)
    ours = BrainMT(config).to(device).eval()
    theirs = Released(config, scan).to(device).eval()
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(1, 3, 1, *config.volume, device=device)
    with torch.no_grad(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        a, b = ours(x).item(), theirs(x).item()
    if not abs(a - b) < 1e-3 * max(1, abs(a)):
        sys.exit(f'The released architecture gives {b}, ours {a}: not the same model.')
    print(f'One set of weights, one logit: {a:.4f} and {b:.4f}')


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--frames', type=int, default=200)
    parser.add_argument('--rounds', type=int, default=5)
    # the same on a processor, a tiny model, the loop for mamba-ssm: the numbers
    # mean nothing
    parser.add_argument('--smoke-test', action='store_true', help=argparse.SUPPRESS)
    a = parser.parse_args()
    small = (
        dict(
            volume=(17, 18, 17),
            stem_widths=(4, 8),
            stage_widths=(8, 16),
            n_mamba=1,
            n_attention=1,
        )
        if a.smoke_test
        else {}
    )
    device, side, rounds, frames = (
        ('cpu', 128, 1, 3) if a.smoke_test else ('cuda', 8192, a.rounds, a.frames)
    )
    if device == 'cuda' and not torch.cuda.is_available():
        print(
            'This benchmark cannot run: it needs a CUDA GPU, and PyTorch sees none '
            'here.',
            file=sys.stderr,
        )
        sys.exit(2)

    paper, released = (
        replace(PRESETS[name], num_frames=frames, **small)
        for name in ('paper', 'released')
    )
    released = replace(released, drop_path=0.0)  # the re-creation has none
    makers = {
        'paper': (BrainMT, paper),
        'paper, checkpointing': (BrainMT, replace(paper, recompute=True)),
        'ours, released preset': (BrainMT, released),
    }
    reason = None if a.smoke_test else why_not_mamba_ssm('cuda')
    scan = loop_scan if a.smoke_test else mamba_scan
    on_gpu = device == 'cuda'
    where = torch.cuda.get_device_name() if on_gpu else 'a processor, smoke test'
    print(
        f'{where}, torch {torch.__version__}; 1 scan, {frames} frames of '
        f'{"×".join(map(str, paper.volume))}, a training step in bfloat16'
    )
    if reason:
        print(f'Without the released model: {reason}')
    else:
        same_numbers(released, scan, device)
        makers['released, mamba-ssm'] = (partial(Released, scan=scan), released)

    rate = product_rate(side, device)
    found = measured(makers, frames, device, rounds)
    print(
        f'\nA bfloat16 product {side}³ reaches {rate / 1e12:,.2f}·10¹² operations a '
        f'second.\n\n{"":<26} {"s a step":>10} {"10¹² op":>10} {"use":>7} '
        f'{"peak GB":>9}'
    )
    for name, (_, config) in makers.items():
        (time, peak), work = found[name], 3 * estimate(config).total_flops
        if peak is None:
            print(f'{name:<26} does not fit this GPU')
            continue
        print(
            f'{name:<26} {time:>10.4f} {work / 1e12:>10.3f} '
            f'{work / time / rate:>7.1%} {peak / 1e9:>9.1f}'
        )

    verdict = lambda reached: 'reached' if reached else 'MISSED'
    print()
    for name in ('paper', 'paper, checkpointing'):
        time, peak = found[name]
        if peak is None:
            print(f'{name}: MISSED, it does not fit')
            continue
        use = 3 * estimate(paper).total_flops / time / rate
        print(
            f'{name}: use {use:.1%}, goal {GOALS["use"]:.0%}: '
            f'{verdict(use >= GOALS["use"])}; peak {peak / 1e9:.1f} GB, goal '
            f'{GOALS["memory"] / 1e9:.0f} GB: {verdict(peak <= GOALS["memory"])}'
        )
    if reason:
        return
    theirs, ours = found['released, mamba-ssm'], found['ours, released preset']
    if ours[0] is None:
        print(
            f'Against the released model, goal {GOALS["speed"]:.1f}×: MISSED, ours '
            'does not fit'
        )
    elif theirs[0] is None:
        print('Against the released model: it does not fit this GPU, ours does')
    else:
        print(
            f'Against the released model {theirs[0] / ours[0]:.2f}×, goal '
            f'{GOALS["speed"]:.1f}×: {verdict(theirs[0] / ours[0] >= GOALS["speed"])}'
        )


if __name__ == '__main__':
    main()
