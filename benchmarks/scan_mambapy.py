"""The chunked scan against mamba.py's parallel scan, both plain PyTorch: forward and backward, one thread, process CPU time.

mambapy is no requirement of this project; for this comparison install it beside it:

    pip install --no-deps --target /somewhere mambapy
    PYTHONPATH=/somewhere python benchmarks/scan_mambapy.py

The two take turns, so that a busy machine slows both; each line is one round, the last the median of the ratios.
"""
import argparse, os, statistics, sys, time

os.environ.update(OMP_NUM_THREADS='1')
import torch
from brainmt.scan import selective_scan_chunked
try: from mambapy.pscan import pscan
except ImportError: sys.exit(__doc__)

def with_mambapy(u, delta, A, B, C, D):
    "As `MambaBlock.selective_scan` of mambapy writes it."
    states = pscan(torch.exp(delta.unsqueeze(-1)*A), delta.unsqueeze(-1)*B.unsqueeze(2)*u.unsqueeze(-1))   # (b, l, d, n)
    return (states @ C.unsqueeze(-1)).squeeze(3) + D*u

def chunked(*args): return selective_scan_chunked(*args, delta_softplus=False)

def inputs(b, l, d, n=16):
    torch.manual_seed(0)
    like = [torch.randn(b, l, d), torch.rand(b, l, d)/10, -torch.arange(1., n + 1).repeat(d, 1), torch.randn(b, l, n), torch.randn(b, l, n), torch.randn(d)]
    return [t.requires_grad_() for t in like]

def seconds(scan, args):
    start = time.process_time()
    torch.autograd.grad(scan(*args).sum(), args)
    return time.process_time() - start

def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in dict(rounds=7, length=2000, channels=1024).items(): parser.add_argument(f'--{name}', type=int, default=default)
    o = parser.parse_args()
    torch.set_num_threads(1)
    args, ratios = inputs(1, o.length, o.channels), []
    ours, theirs = (scan(*args) for scan in (chunked, with_mambapy))
    assert (ours - theirs).norm() < 1e-5*theirs.norm(), 'the two compute different things'
    del ours, theirs
    for _ in range(o.rounds):
        theirs, ours = seconds(with_mambapy, args), statistics.median(seconds(chunked, args) for _ in range(3))
        ratios.append(theirs/ours)
        print(f'mambapy {theirs:6.2f} s   chunked {ours:6.3f} s ({ours*1e9/(o.length*o.channels):.1f} ns per token and channel)   {ratios[-1]:5.1f}×', flush=True)
    print(f'd={o.channels}, L={o.length}, N=16, float32, forward and backward: {statistics.median(ratios):.1f}× (median of {o.rounds} rounds)')

if __name__ == '__main__': main()
