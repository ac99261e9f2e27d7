"""How long intervals and p-values take; part of `make bench`.

For each task: 1,000 subjects, 10,000 resamples and 10,000 shuffles, every metric of the task (`brainmt.evaluation.scoring.evaluate`), in one process. Beside it two other ways to the same
interval, for a tenth or a hundredth of the resamples, scaled up: rows copied for each draw and each metric (`bootstrap_ci`), and scikit-learn's function called in a loop.
CPU seconds of one thread; the ways take turns within each round. Then the coverage of the interval for few and many subjects, which is no matter of speed but takes too long for a notebook.
"""

import os

for name in ('OMP', 'OPENBLAS', 'MKL'):
    os.environ.setdefault(f'{name}_NUM_THREADS', '1')
import argparse
import statistics
import time

import numpy as np
import pandas as pd
import sklearn.metrics as sk
from scipy.special import expit, softmax
from scipy.stats import norm

from brainmt.evaluation.metrics import TASKS, auroc, pearson_r
from brainmt.evaluation.resample import (
    bootstrap_ci,
    count_rows,
    percentile_interval,
    resample,
)
from brainmt.evaluation.scoring import evaluate

LIMIT = 5.0  # seconds: 10,000 resamples of 1,000 subjects


def cohort(task, n, rng):
    "Predictions as `predict` gives them, and their truth."
    index = pd.Index([f'{i:05d}' for i in range(n)], name='subject')
    y = np.arange(n) % 2
    noise = rng.normal(size=n)
    if task == 'classification':
        return pd.DataFrame(
            dict(probability=expit(y - 0.5 + noise)), index
        ), pd.DataFrame(dict(label=y), index)
    if task == 'regression':
        return pd.DataFrame(dict(value=y + noise), index), pd.DataFrame(
            dict(score=y + rng.normal(size=n)), index
        )
    k = 4 if task == 'multiclass' else 300
    names = [f'{i}' for i in range(k)]
    if task == 'multiclass':
        y = np.arange(n) % k
        return pd.DataFrame(
            softmax(rng.normal(size=(n, k)) + np.eye(k)[y], axis=1),
            index,
            [f'probability_{c}' for c in names],
        ), pd.DataFrame({'class': y}, index)
    truth = rng.normal(size=(n, k))
    return pd.DataFrame(
        truth + rng.normal(size=(n, k)), index, [f'value_{c}' for c in names]
    ), pd.DataFrame(truth, index, names)


def sklearn_loop(y, p, task, n):
    """The interval of every metric that scikit-learn has, one draw and one metric at a
    time.
    """
    said, rng = p >= 0.5, np.random.default_rng(0)
    fns = (
        dict(auroc=lambda i: sk.roc_auc_score(y[i], p[i]))
        | {
            f.__name__: lambda i, f=f: f(
                y[i],
                said[i],
                **({} if 'accuracy' in f.__name__ else dict(zero_division=0)),
            )
            for f in (
                sk.accuracy_score,
                sk.balanced_accuracy_score,
                sk.precision_score,
                sk.recall_score,
                sk.f1_score,
            )
        }
        | dict(brier=lambda i: sk.brier_score_loss(y[i], p[i]))
    )
    if task == 'regression':
        fns = dict(
            r=lambda i: np.corrcoef(y[i], p[i])[0, 1],
            r2=lambda i: sk.r2_score(y[i], p[i]),
            mse=lambda i: sk.mean_squared_error(y[i], p[i]),
            mae=lambda i: sk.mean_absolute_error(y[i], p[i]),
        )
    return {
        name: percentile_interval(
            np.array(
                [fn(i) for i in (rng.integers(0, len(y), len(y)) for _ in range(n))]
            )
        )
        for name, fn in fns.items()
    }


def cpu(work):
    start = time.process_time()
    work()
    return time.process_time() - start


def coverage(task, n, cohorts):
    "Share of cohorts whose 95 % interval contains the truth."
    rng, inside = np.random.default_rng(n), 0
    value = norm.cdf(1 / np.sqrt(2)) if task == 'classification' else 0.5
    for i in range(cohorts):
        y = (
            (np.arange(n) % 2).astype(float)
            if task == 'classification'
            else rng.normal(size=n)
        )
        p = (
            y + rng.normal(size=n)
            if task == 'classification'
            else 0.5 * y + np.sqrt(0.75) * rng.normal(size=n)
        )
        (w,) = count_rows(n, 1000, i, n)
        low, high = percentile_interval(
            (auroc if task == 'classification' else pearson_r)(y, p, w)
        )
        inside += low <= value <= high
    return inside / cohorts


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--subjects', type=int, default=1000)
    parser.add_argument('--draws', type=int, default=10_000)
    parser.add_argument('--cohorts', type=int, default=2000)
    args = parser.parse_args()
    n, slowest = args.draws, 0
    print(
        f'{args.subjects:,} subjects, {n:,} resamples, {n:,} shuffles, {args.rounds} '
        'rounds; CPU seconds, median\n'
    )
    print(
        f'{"task":<16}{"metrics":>8}{"resamples":>11}{"all: evaluate":>15}{"rows copied":>13}{"scikit-learn":>14}'
    )
    for task in TASKS:
        predictions, table = cohort(task, args.subjects, np.random.default_rng(0))
        plain = task in ('classification', 'regression')
        y, p = (
            (table.iloc[:, 0].to_numpy(float), predictions.iloc[:, 0].to_numpy())
            if plain
            else (table.iloc[:, 0].to_numpy(float), predictions.to_numpy())
            if task == 'multiclass'
            else (table.to_numpy(), predictions.to_numpy())
        )
        ways = {
            'resamples': lambda: resample(y, p, task, n),
            'evaluate': lambda: evaluate(predictions, table, task, n=n),
        }
        if plain:
            ways |= {
                'copied': lambda: [
                    bootstrap_ci(fn, y, p, n // 10) for fn in TASKS[task].values()
                ],
                'sklearn': lambda: sklearn_loop(y, p, task, n // 100),
            }
        rounds = [
            {name: cpu(way) for name, way in ways.items()} for _ in range(args.rounds)
        ]
        took = {name: statistics.median(r[name] for r in rounds) for name in ways}
        slowest = max(slowest, took['evaluate'])
        print(
            f'{task:<16}{len(TASKS[task]):>8}{took["resamples"]:>11.2f}{took["evaluate"]:>15.2f}'
            + (
                f'{10 * took["copied"]:>13.1f}{100 * took["sklearn"]:>14.0f}'
                if plain
                else ''
            )
        )
    print(
        f'\nSlowest evaluation {slowest:.2f} s: '
        f'{"within" if slowest <= LIMIT else "MORE THAN"} the {LIMIT:g} s allowed.'
    )
    print(
        f'\nCoverage of the 95 % interval, {args.cohorts:,} cohorts, 1,000 resamples '
        f'each\n{"subjects":<10}{"AUROC 0.76":>12}{"r = 0.5":>10}'
    )
    for k in (8, 10, 12, 20, 50, 100):
        print(
            f'{k:<10}{coverage("classification", k, args.cohorts):>12.1%}{coverage("regression", k, args.cohorts):>10.1%}'
        )


if __name__ == '__main__':
    main()
