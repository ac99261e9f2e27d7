"""What the Learner costs beside a bare loop, and how long a step waits for data.

First table: one step of the tiny preset (16 windows of 48 frames), as a loop of six
lines makes it and as `brainmt_learner` makes it with all its callbacks, both on the
same batches, which are in memory. The two take turns step by step, and process CPU time
on one thread is counted, so that a busy machine slows both alike; the ratio is taken
within each pair. A second Learner in the place of the bare loop shows what such a ratio
is worth. Second table: a whole epoch at T = 200 from a store on disk with two worker
processes, wall-clock time, and where it goes. The model is the tiny preset with 200
positions: the larger a model, the less it waits. The data sets do not keep their scans
in memory. Two to three minutes.
"""

import argparse
import copy
import os
import statistics
import tempfile
import time
from pathlib import Path

os.environ.setdefault('OMP_NUM_THREADS', '1')
import torch
from fastai.callback.progress import ProgressCallback
from fastai.callback.schedule import ParamScheduler
from fastai.learner import Callback
from fastcore.basics import noop

from brainmt.data.cohort import preprocess_cohort
from brainmt.data.fingerprint import PreprocessConfig
from brainmt.data.loaders import make_dls
from brainmt.data.phenotype import read_table
from brainmt.data.split import make_split
from brainmt.data.synth import SynthConfig, write_cohort
from brainmt.model.brainmt import BrainMT
from brainmt.training.learner import TrainConfig, brainmt_learner
from brainmt.training.optim import param_groups, warmup_cosine
from brainmt.training.recipe import LOSSES

GOALS = dict(overhead=0.03, waiting=0.05)


def make_store(folder, n_subjects, n_frames):
    write_cohort(folder / 'bids', SynthConfig(n_subjects=n_subjects, n_frames=n_frames))
    preprocess_cohort(
        folder / 'bids', folder / 'store', PreprocessConfig(), n_jobs=1, progress=False
    )
    table = read_table(folder / 'bids' / 'participants.tsv', target='label')
    split = make_split(table.index, (0.8, 0.1, 0.1), stratify=table['label'])
    return folder / 'store', table, split


# the learner beside a bare loop


class Kept:
    """Batches in memory, in the place of the training loader: `rounds` times the same
    ones.
    """

    def __init__(self, dl, rounds):
        self.dataset, self.bs, self.device = dl.dataset, dl.bs, dl.device
        self.batches = [(x.clone(), y.clone()) for x, y in dl] * rounds

    def __len__(self):
        return len(self.batches)

    def __iter__(self):
        return iter(self.batches)


class BareLoop:
    "What one writes without a library: schedule, forward, loss, backward, clip, step."

    def __init__(self, model, steps):
        self.model, self.loss = copy.deepcopy(model), LOSSES['classification']()
        groups = [
            dict(params=g['params'], weight_decay=0.05 * g['wd_scale'])
            for g in param_groups(self.model)
        ]
        self.opt = torch.optim.AdamW(groups, lr=2e-4)
        self.schedule, self.steps, self.done, self.seen = warmup_cosine(), steps, 0, []

    def __call__(self, batch):
        x, y = batch
        for g in self.opt.param_groups:
            g['lr'] = self.schedule(self.done / self.steps)
        loss = self.loss(self.model(x), y)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.opt.step()
        self.opt.zero_grad()
        self.seen.append(loss.item())
        self.done += 1


class TakeTurns(Callback):
    """After each step of the learner, the same step of the rival; the CPU seconds of
    both.
    """

    order, run_valid = 10**6, False

    def __init__(self, rival):
        self.rival, self.times, self.start = rival, [], None

    def after_batch(self):
        now = time.process_time()
        mine = None if self.start is None else now - self.start
        self.rival((*self.xb, *self.yb))
        self.start = time.process_time()
        if mine is not None:
            self.times.append((mine, self.start - now))


def quiet(dls, model, cbs, **kw):
    learn = brainmt_learner(dls, model, TrainConfig(amp=False, **kw), cbs=cbs)
    learn.remove_cbs(ProgressCallback)
    learn.logger = noop
    return learn


class OtherLearner:
    """A second learner, moved step by step: its ratio to the first is 1 but for the
    noise.
    """

    def __init__(self, dls, model, steps):
        self.learn = quiet(dls, copy.deepcopy(model), [])
        self.learn.create_opt()
        self.learn.n_epoch, self.learn.epoch, self.learn.n_iter = 1, 0, steps
        self.learn.add_cb(ParamScheduler({'lr': warmup_cosine()}))
        self.learn('before_fit')
        self.learn('before_epoch')
        self.learn.dl = dls.train
        self.learn('before_train')

    def __call__(self, batch):
        self.learn.one_batch(self.learn.train_iter, batch)


def overhead(store, table, split, rounds):
    dls = make_dls(store, table, split, 48, 16, device='cpu')
    dls.loaders[0] = Kept(dls.train, rounds)
    torch.manual_seed(0)
    model = BrainMT.from_preset('tiny')
    found = {}
    for name, rival in (
        ('bare loop', BareLoop(model, len(dls.train))),
        ('another Learner', OtherLearner(dls, model, len(dls.train))),
    ):
        turns = TakeTurns(rival)
        quiet(dls, copy.deepcopy(model), [turns]).fit(
            1, cbs=ParamScheduler({'lr': warmup_cosine()})
        )
        times = turns.times[2:]
        ratios = [mine / theirs - 1 for mine, theirs in times]
        spread = statistics.stdev(ratios) / len(ratios) ** 0.5
        print(
            f'{name:<18} {1e3 * statistics.median(m for m, _ in times):>10.1f} '
            f'{1e3 * statistics.median(t for _, t in times):>10.1f} '
            f'{statistics.median(ratios):>+11.1%} ± {spread:.1%}',
            flush=True,
        )
        found[name] = statistics.median(ratios)
    return found['bare loop']


def profile_overhead(store, table, split):
    "CPU milliseconds a step inside the callbacks, by callback."
    dls = make_dls(store, table, split, 48, 16, device='cpu')
    dls.loaders[0] = Kept(dls.train, 6)
    learn, spent = quiet(dls, BrainMT.from_preset('tiny'), []), {}
    call = Callback.__call__

    def timed(self, event):
        start = time.process_time()
        try:
            return call(self, event)
        finally:
            name, rare = type(self).__name__, ('before_fit', 'after_fit', 'after_epoch')
            if self.learn is learn and learn.training and event not in rare:
                spent[name] = spent.get(name, 0) + time.process_time() - start

    Callback.__call__ = timed
    try:
        learn.fit(1, cbs=ParamScheduler({'lr': warmup_cosine()}))
    finally:
        Callback.__call__ = call
    most = sorted(spent, key=spent.get, reverse=True)[:6]
    shown = [f'{n} {1e3 * spent[n] / len(dls.train):.2f}' for n in most]
    print('   of which, ms a step:', ', '.join(shown))


# waiting for data


class Timed:
    """A loader that notes how long its caller waits for the next packed batch, and how
    long unpacking takes.
    """

    def __init__(self, dl):
        self.dl, self.dataset, self.bs = dl, dl.dataset, dl.bs
        self.waited, self.unpacked = [], []
        unpack = dl.unpack

        def timed(x):
            start = time.perf_counter()
            out = unpack(x)
            self.unpacked.append(time.perf_counter() - start)
            return out

        dl.unpack = timed

    def __len__(self):
        return len(self.dl)

    def __iter__(self):
        batches, start = iter(self.dl), time.perf_counter()
        for batch in batches:
            self.waited.append(time.perf_counter() - start - self.unpacked[-1])
            yield batch
            start = time.perf_counter()


class Stages(Callback):
    "Wall-clock seconds between the events of a training step."

    order, run_valid = -99, False

    def __init__(self):
        self.spent, self.mark, self.steps = {}, 0.0, []

    def _to(self, stage):
        now = time.perf_counter()
        self.spent.setdefault(stage, []).append(now - self.mark)
        self.mark = now

    def before_batch(self):
        self.mark = time.perf_counter()

    def after_pred(self):
        self._to('forward')

    def after_loss(self):
        self._to('loss')

    def after_backward(self):
        self._to('backward')

    def after_step(self):
        self._to('clip, AdamW')

    def after_batch(self):
        self._to('the rest')
        self.steps.append(self.mark)


def waiting(store, table, split, workers):
    dls = make_dls(
        store, table, split, 200, 8, num_workers=workers, device='cpu', cache_mb=0
    )
    timed = dls.loaders[0] = Timed(dls.train)
    stages = Stages()
    learn = quiet(dls, BrainMT.from_preset('tiny', num_frames=200), [stages])
    learn.fit(2)
    first = [0, len(timed)]  # of each epoch: the workers are started for it
    later = [i for i in range(len(timed.waited)) if i not in first]

    def mean(xs):
        return sum(xs[i] for i in later) / len(later)

    source = 'waiting for workers' if workers else 'reading (no workers)'
    parts = {source: mean(timed.waited), 'unpacking': mean(timed.unpacked)}
    parts |= {k: mean(v) for k, v in stages.spent.items()}
    total = sum(parts.values())
    print(
        f'{workers} workers: {1e3 * total:.0f} ms a step of {dls.train.bs} × 200 '
        'frames; ' + ', '.join(f'{k} {v / total:.1%}' for k, v in parts.items())
    )
    print(
        '           start of an epoch: '
        f'{statistics.mean(timed.waited[i] for i in first):.2f} s until the first '
        'batch',
        flush=True,
    )
    return (parts.get('waiting for workers', 0.0)) / total


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        '--rounds',
        type=int,
        default=12,
        help='passes over the five batches in the first table',
    )
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as tmp:
        print(
            f'{"Learner beside":<18} {"Learner ms":>10} {"other ms":>10} '
            f'{"overhead":>11}   (CPU time of a step; median of pairs ± standard '
            'error)'
        )
        data = make_store(Path(tmp) / 'short', 104, 96)
        extra = overhead(*data, rounds)
        profile_overhead(*data)
        print(
            f'overhead of the Learner: {extra:+.1%} of a step (goal: at most '
            f'{GOALS["overhead"]:.0%})\n',
            flush=True,
        )
        data = make_store(Path(tmp) / 'long', 72, 240)
        waiting(*data, 0)
        share = waiting(*data, 2)
        print(
            f'waiting for data with 2 workers: {share:.1%} of a step (goal: under '
            f'{GOALS["waiting"]:.0%})'
        )


if __name__ == '__main__':
    main()
