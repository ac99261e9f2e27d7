"""How long the viewer takes for a step in time, in space, in a threshold.

A run as UK Biobank's (490 frames, 91×109×91, 235,375 brain voxels of noise, which
makes the largest pictures) is written to a temporary folder (232 MB). Each step sets
a slider, as a browser would, and ends when a new PNG stands in the widget; the way to
the browser is not counted. The kinds of steps take turns within each round, so that a
busy machine slows all alike. "In memory": the operating system holds the file. "From
disk": before every step it is told to forget it (a virtual disk may not have). Beside
them the same time course read in other ways, which must all give the same numbers.
"""

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from brainmt.data.grid import GRIDS
from brainmt.data.normalize import Stats
from brainmt.data.space import template_mask
from brainmt.data.store import Run, open_run, write_run
from brainmt.reporting.viewer import view_attribution, view_run

GRID, LIMIT = 'MNI152_2mm', 0.1  # seconds: what an update may take


class Frames:
    "Random frames (T, V) made when sliced, so that no whole scan is held in memory."

    def __init__(self, n, v):
        self.shape, self.dtype, self.block = (
            (n, v),
            np.dtype(np.float16),
            np.random.default_rng(0)
            .standard_normal((64, v), np.float32)
            .astype(np.float16),
        )

    def __getitem__(self, key):
        return self.block[np.arange(*key.indices(self.shape[0])) % 64]


def write_scan(folder, n_frames):
    "The run, and a map of two smooth patches."
    mask, affine, rng = (
        template_mask(GRID),
        GRIDS[GRID].affine,
        np.random.default_rng(1),
    )
    v = int(mask.sum())
    stats = Stats(
        'zscore_voxelwise', rng.uniform(5000, 12000, v), rng.uniform(50, 200, v)
    )
    write_run(
        folder / 'sub-0.safetensors',
        Frames(n_frames, v),
        mask,
        affine,
        0.735,
        normalization='zscore_voxelwise',
        stats=stats,
    )
    x, y, z = np.ogrid[:91, :109, :91]
    # written pages can be dropped from memory, which the cold rounds need
    os.sync()
    return folder / 'sub-0.safetensors', sum(
        np.exp(-((x - a) ** 2 + (y - 52) ** 2 + (z - 60) ** 2) / 200) for a in (25, 65)
    )


def forget(path):
    with open(path, 'rb') as f:
        os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


# -- the steps: each sets something new at every call


def make_steps(path, map):
    run, over, rng = (
        view_run(path),
        view_attribution(path, map),
        np.random.default_rng(2),
    )

    def other(control):
        new = control.value
        while new == control.value:
            new = int(rng.integers(control.min + 10, control.max - 10))
        control.value = new

    def threshold(viewer):
        viewer.threshold.value = float(rng.uniform(0, viewer.threshold.max))

    def window(viewer):
        viewer.window.value = -float(rng.uniform(1, 3)), 2.0

    over.show.value = 'frame'
    return run, {
        'run: another frame': lambda: other(run.t),
        'run: another x': lambda: other(run.x),
        'run: another window': lambda: window(run),
        'map: another frame': lambda: other(over.t),
        'map: another x': lambda: other(over.x),
        'map: another threshold': lambda: threshold(over),
    }


def whole_file(run, v):
    return run.frames[:, v]


def memory_map(run, v):
    return np.array(
        np.memmap(run.path, '<f2', 'r', run.first_byte, (run.n_frames, run.n_voxels))[
            :, v
        ]
    )


def one_by_one(run, v):
    out = np.empty(run.n_frames, '<f2')
    with open(run.path, 'rb', buffering=0) as f:
        for t in range(run.n_frames):
            f.seek(run.first_byte + 2 * (t * run.n_voxels + v))
            f.readinto(out[t : t + 1])
    return out


def make_columns(path):
    run, rng = open_run(path), np.random.default_rng(3)
    same = [
        way(run, 1234).tolist()
        for way in (Run.column, one_by_one, memory_map, whole_file)
    ]
    assert all(s == same[0] for s in same), 'the ways give different time courses'
    names = {
        'announced, then read (the store)': Run.column,
        'read one by one': one_by_one,
        'memory map': memory_map,
        'whole file': whole_file,
    }
    return {
        name: lambda way=way: way(run, int(rng.integers(run.n_voxels)))
        for name, way in names.items()
    }


# -- the tables


def seconds(step, clock, before):
    before()
    start = clock()
    step()
    return clock() - start


def table(title, steps, path, rounds):
    cold = hasattr(os, 'posix_fadvise')
    for step in steps.values():
        step()
    warm = [
        {
            n: (
                seconds(s, time.process_time, lambda: None),
                seconds(s, time.perf_counter, lambda: None),
            )
            for n, s in steps.items()
        }
        for _ in range(rounds)
    ]
    disk = (
        [
            {
                n: seconds(s, time.perf_counter, lambda: forget(path))
                for n, s in steps.items()
            }
            for _ in range(rounds)
        ]
        if cold
        else []
    )
    print(
        f'\n{title:<36} {"in memory: CPU":>15} {"clock":>9} {"slowest":>9} '
        f'{"from disk":>11} {"slowest":>9}   (ms)'
    )
    slowest = 0
    for n in steps:
        cpu, clock = zip(*(r[n] for r in warm))
        d = [r[n] for r in disk] or [float('nan')]
        slowest = max(slowest, *clock, *(d if cold else ()))
        print(
            f'{n:<36} {statistics.median(cpu) * 1e3:>15.1f} '
            f'{statistics.median(clock) * 1e3:>9.1f} {max(clock) * 1e3:>9.1f} '
            f'{statistics.median(d) * 1e3:>11.1f} {max(d) * 1e3:>9.1f}'
        )
    return slowest


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--rounds', type=int, default=15)
    parser.add_argument('--frames', type=int, default=490, help='frames of the run')
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as tmp:
        path, map = write_scan(Path(tmp), args.frames)
        start = time.perf_counter()
        viewer, steps = make_steps(path, map)
        print(
            f'{args.frames} frames, {GRID}, file of {path.stat().st_size / 1e6:.0f} '
            f'MB; {args.rounds} rounds. Two viewers opened in '
            f'{time.perf_counter() - start:.2f} s. A picture of '
            f'{len(viewer.picture.value) / 1e3:.0f} kB.'
        )
        slowest = table('one step of the viewer', steps, path, args.rounds)
        table('one time course', make_columns(path), path, max(3, args.rounds // 3))
        print(
            f'\nSlowest step {slowest * 1e3:.0f} ms: '
            f'{"within" if slowest <= LIMIT else "MORE THAN"} the {LIMIT * 1e3:.0f} '
            'ms that an update may take.'
        )


if __name__ == '__main__':
    main()
