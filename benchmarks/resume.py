"""What keeping the state of a training costs: `train` beside `train_resumable`.

The tiny preset on 96 random scans of its size, batches of 16 windows of 48 frames: six
batches an epoch, two epochs. The ways take turns within each round: `train` alone; with
the state kept at the beginning of each epoch (the default: an epoch is shorter than
300 s here); and at every batch. All must end with equal weights. Process CPU time is
counted, on one thread; waiting for the disk is not in it, so a saving's time on the
clock is given too. Last, one state of the paper's model (47.9 million parameters) is
written and read.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from fastai.callback.core import Callback
from fastai.callback.progress import ProgressCallback

from brainmt.data.loaders import make_dls
from brainmt.data.split import Split
from brainmt.data.store import write_run
from brainmt.data.synth import brain_grid
from brainmt.model.brainmt import BrainMT
from brainmt.training.learner import TrainConfig, train
from brainmt.training.resume import train_resumable
from brainmt.training.state import read_state, write_state


class Quiet(Callback):
    order = -1001

    def after_create(self):
        bars = [c for c in self.learn.cbs if isinstance(c, ProgressCallback)]
        self.learn.remove_cbs(bars)

    # it leaves when training ends
    def before_fit(self):
        self.learn.logger = lambda *_: None
        self.keep = getattr(self.learn, 'keep_state', None)


def cohort(folder):
    mask, affine = brain_grid()
    rng = np.random.default_rng(0)
    for i in range(112):
        frames = rng.standard_normal((64, int(mask.sum())), np.float32)
        path = folder / f'sub-{i:03}.safetensors'
        write_run(path, frames, mask, affine, 2.0, background=0)
    ids = [f'{i:03}' for i in range(112)]
    table = pd.DataFrame({'label': np.arange(112) % 2.0}, index=ids)
    return table, Split(ids[:96], ids[96:], [])


def once(way, folder, table, split, cfg):
    "(CPU seconds, seconds on the clock for savings, weights)"
    dls = make_dls(
        folder / 'store', table, split, n_frames=48, batch_size=16, device='cpu'
    )
    quiet = Quiet()
    with tempfile.TemporaryDirectory() as run:
        began = time.process_time()
        if way == 'train':
            learn = train(dls, 'tiny', cfg, Path(run) / 'model', cbs=[quiet])
        else:
            every = 0 if way == 'every batch' else 300
            learn = train_resumable(dls, 'tiny', cfg, run, every, cbs=[quiet])
        took = time.process_time() - began
    return (
        took,
        quiet.keep.seconds if quiet.keep else 0.0,
        torch.cat([p.detach().flatten() for p in learn.model.parameters()]),
    )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--rounds', type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    cfg, taken = TrainConfig(epochs=2, lr=2e-3, batch_size=16), {}
    # two epochs and the end; before six batches and after them, twice, and the end
    savings = {'train': 0, 'every epoch': 3, 'every batch': 2 * (6 + 1) + 1}
    with tempfile.TemporaryDirectory() as folder:
        table, split = cohort(Path(folder) / 'store')
        once('train', Path(folder), table, split, cfg)  # compiles
        for _ in range(args.rounds):
            ends = [once(way, Path(folder), table, split, cfg) for way in savings]
            assert all(torch.equal(e[2], ends[0][2]) for e in ends), (
                'keeping the state changed the weights'
            )
            for way, end in zip(savings, ends):
                taken.setdefault(way, []).append(end[:2])
    print(f'{"":20}{"CPU s":>8}{"beside train":>14}{"a saving, ms":>14}')
    for way, rows in taken.items():
        ratio = statistics.median(a[0] / b[0] for a, b in zip(rows, taken['train']))
        clock = statistics.median(r[1] for r in rows) / max(1, savings[way]) * 1000
        cpu = statistics.median(r[0] for r in rows)
        print(f'{way:20}{cpu:8.2f}{ratio:14.3f}{clock:14.1f}')
    model = BrainMT.from_preset('paper')
    weights = model.state_dict()
    tree = dict(
        model=weights,
        best={k: v.clone() for k, v in weights.items()},
        means=[{k: torch.zeros_like(v) for k, v in weights.items()} for _ in range(2)],
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'paper.safetensors'
        for what, act in (
            ('write', lambda: write_state(path, tree)),
            ('read', lambda: read_state(path)),
        ):
            cpu, clock = time.process_time(), time.perf_counter()
            act()
            print(
                f'paper, {path.stat().st_size / 1e6:.0f} MB: {what} '
                f'{time.process_time() - cpu:.1f} s CPU, '
                f'{time.perf_counter() - clock:.1f} s on the clock'
            )


if __name__ == '__main__':
    main()
