"""Two processes against one, each with one thread: windows a second.

Both train the same epochs of the same synthetic cohort with the same learner and batch
size per process (one synthetic scan is much like another here, so only its size
matters). Two processes are started once. In each round they take turns: first process 0
trains alone, an ordinary learner, while process 1 waits; then both train, with
everything `brainmt.training.distributed` does. What counts is the clock, since that is
what a person waits by. A neighbour who takes a core away hurts two processes more than
one, so beside the median of the rounds the best of each is given: the best epoch alone
and the best epoch of two are what this machine can do when left in peace. Process CPU
time is given too: what two processes compute more than one is what the sharing costs,
waiting left out.
"""

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

GOAL = 1.7


def cohort(folder, n_subjects, n_frames):
    from brainmt.data.cohort import preprocess_cohort
    from brainmt.data.fingerprint import PreprocessConfig
    from brainmt.data.synth import SynthConfig, write_cohort

    write_cohort(folder / 'bids', SynthConfig(n_subjects=n_subjects, n_frames=n_frames))
    preprocess_cohort(
        folder / 'bids', folder / 'store', PreprocessConfig(), n_jobs=1, progress=False
    )


def learner_of(folder, frames, batch_size, changes):
    from fastai.callback.progress import ProgressCallback
    from fastai.learner import Callback

    from brainmt.core import seed_everything
    from brainmt.data.loaders import make_dls
    from brainmt.data.phenotype import read_table
    from brainmt.data.split import Split
    from brainmt.model.brainmt import BrainMT
    from brainmt.training.learner import TrainConfig, brainmt_learner

    class Clock(Callback):
        """Seconds of the training half of an epoch, by the clock and of this process's
        CPU.
        """

        order = -50

        def after_create(self):
            bars = [c for c in self.learn.cbs if isinstance(c, ProgressCallback)]
            self.learn.remove_cbs(bars)
            self.learn.logger = lambda *_: None

        def before_train(self):
            self.began = time.perf_counter(), time.process_time()

        def after_train(self):
            self.learn.spent = (
                time.perf_counter() - self.began[0],
                time.process_time() - self.began[1],
            )

    table = read_table(folder / 'bids/participants.tsv', target='label')
    ids = list(table.index)
    dls = make_dls(
        folder / 'store',
        table,
        Split(ids[:-2], ids[-2:], []),
        n_frames=frames,
        batch_size=batch_size,
        device='cpu',
    )
    seed_everything(0)
    return brainmt_learner(
        dls,
        BrainMT.from_preset('tiny', num_frames=frames, **changes),
        TrainConfig(batch_size=batch_size),
        cbs=[Clock()],
    )


def rounds(folder, frames, batch_size, n_rounds, changes):
    """[(alone: clock, CPU), (shared: clock, CPU)] of each round; the first, which warms
    up, is left out.
    """
    import torch
    import torch.distributed as dist

    from brainmt.training.distributed import distributed
    from brainmt.training.processes import world

    torch.set_num_threads(1)
    # Linux shares cores among sessions first: on a busy machine each process gets
    # its own part, as it would on a machine of its own
    os.setsid()
    alone, shared = [learner_of(folder, frames, batch_size, changes) for _ in range(2)]
    found = []

    def by_itself():
        # fastai asks this variable whether there are others
        size = os.environ.pop('WORLD_SIZE')
        try:
            alone.fit(1, lr=1e-3)
        finally:
            os.environ['WORLD_SIZE'] = size
        return alone.spent

    with distributed(shared):
        for r in range(n_rounds + 1):
            dist.barrier()
            one = by_itself() if world().main else None
            dist.barrier()
            shared.fit(1, lr=1e-3)
            if r:
                found.append((one, shared.spent))
    return found


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--rounds', type=int, default=6)
    parser.add_argument(
        '--subjects', type=int, default=130, help='128 to train on, 2 to validate'
    )
    parser.add_argument('--frames', type=int, default=48)
    parser.add_argument('--batch-size', type=int, default=16, help='per process')
    parser.add_argument(
        '--width', type=int, default=None, help="d_model, where not the tiny preset's"
    )
    args = parser.parse_args()
    os.environ['OMP_NUM_THREADS'] = '1'
    from brainmt.training.processes import launch

    with tempfile.TemporaryDirectory() as tmp:
        folder, n = Path(tmp), args.subjects - 2
        cohort(folder, args.subjects, args.frames)
        # as a module, so that the processes can import it
        from distributed import rounds

        per_rank = launch(
            rounds,
            2,
            folder,
            args.frames,
            args.batch_size,
            args.rounds,
            {'d_model': args.width} if args.width else {},
        )
    one = [alone for alone, _ in per_rank[0]]
    both = [(a[1], b[1]) for a, b in zip(*per_rank)]
    wall = [max(p[0] for p in pair) for pair in both]  # both have finished
    ratios = [o[0] / w for o, w in zip(one, wall)]
    cpu = statistics.median(
        sum(p[1] for p in pair) / o[1] for o, pair in zip(one, both)
    )
    best = min(o[0] for o in one) / min(wall)
    print(
        f'tiny preset, {n} windows of {args.frames} frames an epoch, batches of '
        f'{args.batch_size} a process, one thread a process; {args.rounds} rounds, '
        f'{os.cpu_count()} cores'
    )
    print(f'{"":<16} {"median":>12} {"best":>12}   windows a second')
    print(
        f'{"one process":<16} {n / statistics.median(o[0] for o in one):>12.1f} '
        f'{n / min(o[0] for o in one):>12.1f}'
    )
    print(
        f'{"two processes":<16} {n / statistics.median(wall):>12.1f} '
        f'{n / min(wall):>12.1f}'
    )
    print(
        f'{"ratio":<16} {statistics.median(ratios):>11.2f}× {best:>11.2f}×   goal '
        f'{GOAL}× ({"reached" if best >= GOAL else "MISSED"} by the best rounds); '
        f'rounds: {", ".join(f"{r:.2f}" for r in ratios)}'
    )
    beside = sum(both, ())
    got = [statistics.median(p[1] / p[0] for p in ps) for ps in (one, beside)]
    print(
        f'CPU time of two over one, for the same windows: {cpu:.2f}, so that '
        f'undisturbed cores would give {2 / cpu:.2f}×. Here a process had '
        f'{got[0]:.0%} of a core alone, {got[1]:.0%} beside the other (waiting '
        'included).'
    )


if __name__ == '__main__':
    main()
