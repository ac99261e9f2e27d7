"""From a window to a batch: this library's way beside the released code's, in one run:
`make bench`.

The released code's way, in our words: a scan is one file of half-precision frames on
the full grid; to train on 200 of its frames the whole file is loaded, a window sliced,
made float32 and stacked to a batch. Ours reads the window's brain voxels only and
unpacks them. Both start from the same frames and must end with equal batches, which is
checked. A scan as UK Biobank's (490 frames, 91×109×91, 235,375 brain voxels) is written
to a temporary folder (3 GB). The ways take turns within each round, so that a busy
machine slows all alike; the table gives medians of seconds, and the median of the
rounds' ratios. All on one thread, as in a loader's worker process. With the files in
the operating system's memory nobody waits, so process CPU time is counted, which
neighbours disturb less; from the disk it is the clock. The limit beside them is a plain
copy of the same bytes in memory.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from brainmt.data.grid import GRIDS
from brainmt.data.loaders import WindowLoader
from brainmt.data.space import template_mask
from brainmt.data.store import open_cohort, write_run
from brainmt.data.unpack import Unpack
from brainmt.data.windows import WindowDataset

GRID, B, T = 'MNI152_2mm', 2, 200
WAYS = ('released', 'dense', 'packed')

# -- the two stores --------------------------------------------------------------------


class Frames:
    """Random frames (T, V) made when sliced: a block of 64 again and again, so that no
    whole scan is held in memory.
    """

    def __init__(self, n, v, seed):
        self.shape, self.dtype, self.block = (
            (n, v),
            np.dtype(np.float16),
            np.random.default_rng(seed)
            .standard_normal((64, v), np.float32)
            .astype(np.float16),
        )

    def __getitem__(self, key):
        return self.block[np.arange(*key.indices(self.shape[0])) % 64]


def write_scans(folder, n_frames):
    "Two scans in both forms, and one of HCP's length in ours."
    mask, affine = template_mask(GRID), GRIDS[GRID].affine
    for i in range(B):
        frames = Frames(n_frames, int(mask.sum()), i)
        write_run(
            folder / 'ours' / f'sub-{i}.safetensors',
            frames,
            mask,
            affine,
            0.735,
            background=0,
        )
        full = np.zeros((n_frames, *mask.shape), np.float16)
        for t in range(n_frames):
            full[t][mask] = frames[t : t + 1][0]
        torch.save(torch.from_numpy(full), folder / f'sub-{i}.pt')
    write_run(
        folder / 'long' / 'sub-0.safetensors',
        Frames(1200, int(mask.sum()), 0),
        mask,
        affine,
        0.72,
        background=0,
    )
    # written pages can be dropped from memory, which the cold rounds need
    os.sync()


# -- the ways: each makes batch number `epoch` -----------------------------------------


def loader_of(folder):
    return WindowLoader(
        WindowDataset(
            [r for rs in open_cohort(folder).values() for r in rs],
            np.zeros(len(list(folder.iterdir()))),
            T,
            cache_mb=0,
        ),
        bs=B,
    )


def make_ways(folder):
    ours = loader_of(folder / 'ours')
    data = ours.dataset

    def released(epoch):
        items = []
        for i in range(B):
            scan, start = (
                torch.load(folder / f'sub-{i}.pt'),
                data.place(B * epoch + i)[1],
            )
            items.append(scan[start : start + T, None].float())
        return torch.stack(items)  # (B, T, 1, X, Y, Z)

    def packed(epoch):
        return data.batch([B * epoch + i for i in range(B)])[0]

    def dense(epoch):
        ours.set_epoch(epoch)
        return ours.one_batch()[0]

    return dict(released=released, dense=dense, packed=packed)


def seconds(fn, *args, clock=time.perf_counter, sync=lambda: None):
    sync()
    start = clock()
    result = fn(*args)
    sync()
    spent = clock() - start
    del result
    return spent


def forget(folder):
    """Drop the scans from the operating system's memory, so that the next read comes
    from the disk.
    """
    for path in folder.rglob('sub-*'):
        with open(path, 'rb') as f:
            os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def rounds_of(n, ways, clock, before=lambda: None):
    "n rounds, the ways in turn: [{way: seconds}]."

    def timed(way, r):
        before()
        return seconds(ways[way], r, clock=clock)

    return [{way: timed(way, r) for way in ways} for r in range(n)]


# -- memory, each way in a process of its own ------------------------------------------


def peak():
    """Most memory this process ever held, in MB.

    (ru_maxrss would also count the parent's, on Linux.)
    """
    status = Path('/proc/self/status')
    if status.exists():
        return int(status.read_text().split('VmHWM:')[1].split()[0]) / 1000
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def child(folder, way):
    torch.set_num_threads(1)
    ways = make_ways(Path(folder))
    before = peak()
    batch = ways[way](0)
    print(json.dumps(peak() - before))
    del batch  # held until here


def memory(folder, way):
    return json.loads(
        subprocess.run(
            [sys.executable, __file__, '--child', folder, way],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
    )


# -- the tables ------------------------------------------------------------------------


def middle(rounds, way):
    return statistics.median(r[way] for r in rounds)


def ratio(rounds, way):
    return statistics.median(r['released'] / r[way] for r in rounds)


def size(paths):
    return sum(p.stat().st_size for p in paths) / 1e6


def on_gpu(folder, n):
    "Packed to the GPU and unpacked there, beside unpacked here and sent dense."
    ways = make_ways(folder)
    unpack = Unpack(template_mask(GRID)).to('cuda')
    pinned = ways['packed'](0).pin_memory()

    def there(_):
        return unpack(pinned.to('cuda', non_blocking=True))

    def here(_):
        return host(pinned).to('cuda')

    host = Unpack(template_mask(GRID))
    for fn in (there, here):
        fn(0)
    rounds = [
        {
            fn.__name__: seconds(fn, 0, sync=torch.cuda.synchronize)
            for fn in (there, here)
        }
        for _ in range(n)
    ]
    print(
        f'\n{torch.cuda.get_device_name()}: packed batch in pinned memory to float32 '
        'volumes on the GPU\n  sent packed, unpacked there '
        f'{middle(rounds, "there") * 1e3:8.1f} ms\n  unpacked here, sent dense   '
        f'{middle(rounds, "here") * 1e3:8.1f} ms   '
        f'{statistics.median(r["here"] / r["there"] for r in rounds):.1f} times longer'
    )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument(
        '--frames', type=int, default=490, help='frames of a scan, at least 200'
    )
    parser.add_argument('--child', nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        return child(*args.child)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as tmp:
        folder = Path(tmp)
        write_scans(folder, args.frames)
        ways = make_ways(folder)
        long = loader_of(folder / 'long')
        # copies: the ways' own memory is free again
        dense, packed = ways['dense'](0).clone(), ways['packed'](0).clone()
        assert torch.equal(ways['released'](0), dense), (
            'the two ways give different batches'
        )
        theirs, ours = (
            size([folder / 'sub-0.pt']),
            size([folder / 'ours' / 'sub-0.safetensors']),
        )
        mb = {
            'released': dense.nbytes / 1e6,
            'dense': dense.nbytes / 1e6,
            'packed': packed.nbytes / 1e6,
        }
        print(
            f'Windows of {T} of {args.frames} frames, {GRID}, '
            f'{packed.shape[-1] - 1:,} brain voxels, batches of {B}; one thread, '
            f'{args.rounds} rounds'
        )
        print(
            f'On disk, one scan: {theirs:.0f} MB as the released code keeps it, '
            f'{ours:.0f} MB in the store: {theirs / ours:.2f} times smaller\n'
        )

        spare = [torch.empty_like(dense), torch.empty_like(packed)]
        limits = {
            'copy dense': lambda _: spare[0].copy_(dense),
            'copy packed': lambda _: spare[1].copy_(packed),
            'fresh': lambda _: torch.empty(dense.shape).fill_(0),
        }
        for fn in limits.values():
            fn(0)
        long.dataset.batch([0])
        warm = rounds_of(
            args.rounds,
            ways | limits | {'long': lambda r: long.dataset.batch([r])},
            time.process_time,
        )
        dense = packed = spare = None  # their memory is free again
        cold = (
            rounds_of(
                max(2, args.rounds // 2),
                ways,
                time.perf_counter,
                lambda: forget(folder),
            )
            if hasattr(os, 'posix_fadvise')
            else None
        )
        held = {way: memory(folder, way) for way in WAYS}
        print(
            f'{"one batch":<36} {"size":>9} {"peak memory":>12} {"in memory":>10} '
            f'{"ratio":>7} {"from disk":>10} {"ratio":>7}   limit: copy of these bytes'
        )
        for way, name in (
            ('released', 'released way, float32 volumes'),
            ('dense', 'ours, float32 volumes'),
            ('packed', 'ours, packed: what a GPU is sent'),
        ):
            limit = middle(warm, 'copy packed' if way == 'packed' else 'copy dense')
            disk = (
                f'{middle(cold, way):>8.2f} s {ratio(cold, way):>6.1f}×'
                if cold
                else f'{"":>18}'
            )
            print(
                f'{name:<36} {mb[way]:>6.0f} MB {held[way]:>9.0f} MB '
                f'{middle(warm, way):>8.3f} s {ratio(warm, way):>6.1f}× {disk}   '
                f'{limit:.3f} s ({mb[way] / limit / 1e3:.1f} GB/s)'
            )
        print(
            '\n"in memory": CPU seconds, the operating system holds the files; "from '
            'disk": seconds, it was told to forget them (a virtual disk may not '
            'have).\nMemory fresh from the operating system, filled once with '
            f'{mb["dense"]:.0f} MB: {middle(warm, "fresh"):.3f} s; Unpack uses its '
            'memory again instead.\n'
            f'A window of {T} of 1,200 frames (HCP), packed: '
            f"{middle(warm, 'long'):.3f} s; the scan's length does not matter."
        )
        if torch.cuda.is_available():
            on_gpu(folder, args.rounds)


if __name__ == '__main__':
    main()
