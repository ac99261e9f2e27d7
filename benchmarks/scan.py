"""The selective scan's implementations side by side: `make bench`.

Process CPU time on one thread, the implementations taking turns within each round, so that a busy machine slows all of them alike.
The table gives the median over rounds in ns per token and channel, and how many times faster than the plain loop (`selective_scan_ref`
under autograd) of the same round.
"""
import argparse, os, statistics, time

os.environ.update(OMP_NUM_THREADS='1', NUMBA_NUM_THREADS='1')
import torch
from brainmt.kernels import available_backends, selective_scan

SIZES = {'the demonstration (16, 385, 32)': (16, 385, 32), 'one long sequence (1, 2000, 128)': (1, 2000, 128)}   # (b, l, d)
N = 16   # cells of memory per channel

def inputs(b, l, d):
    torch.manual_seed(0)
    like = [torch.randn(b, l, d), torch.rand(b, l, d)/10, -torch.arange(1., N + 1).repeat(d, 1), torch.randn(b, l, N), torch.randn(b, l, N)]
    return [t.requires_grad_() for t in like]

def seconds(backend, args, backward):
    start = time.process_time()
    if backward: torch.autograd.grad(selective_scan(*args, delta_softplus=False, backend=backend).sum(), args)
    else:
        with torch.no_grad(): selective_scan(*args, delta_softplus=False, backend=backend)
    return time.process_time() - start

def main():
    rounds = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    rounds.add_argument('--rounds', type=int, default=7)
    rounds = rounds.parse_args().rounds
    torch.set_num_threads(1)
    backends = available_backends('cpu')
    print(f'{"size (b, l, d), N = 16, float32":<34} {"pass":<18} ' + ' '.join(f'{b:>24}' for b in backends))
    for name, (b, l, d) in SIZES.items():
        args = inputs(b, l, d)
        for backward in (False, True):
            for backend in backends: seconds(backend, args, backward)   # compile, warm up
            times = [{k: seconds(k, args, backward) for k in backends} for _ in range(rounds)]
            cell = lambda k: (statistics.median(t[k] for t in times)*1e9/(b*l*d), statistics.median(t['reference']/t[k] for t in times))
            print(f'{name:<34} {"forward, backward" if backward else "forward":<18} ' + ' '.join('{:>11.1f} ns ({:6.1f}×)'.format(*cell(k)) for k in backends), flush=True)

if __name__ == '__main__': main()
