"""How long intervals and p-values take; part of `make bench`.

For each task: 1,000 subjects, 10,000 resamples and 10,000 shuffles, every metric of the
task (`brainmt.evaluation.scoring.evaluate`), in one process. Beside it two other ways
to the same interval, for a tenth or a hundredth of the resamples, scaled up: rows
copied for each draw and each metric (`bootstrap_ci`), and scikit-learn's function
called in a loop. CPU seconds of one thread; the ways take turns within each round. Then
the coverage of the interval for few and many subjects, which is no matter of speed but
takes too long for a notebook.
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

from brainmt.evaluation.metrics import METRICS, auroc, pearson_r
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
    y, noise = np.arange(n) % 2, rng.normal(size=n)
    if task == 'classification':
        found, truth = dict(probability=expit(y - 0.5 + noise)), dict(label=y)
        return pd.DataFrame(found, index), pd.DataFrame(truth, index)
    if task == 'regression':
        found, truth = dict(value=y + noise), dict(score=y + rng.normal(size=n))
        return pd.DataFrame(found, index), pd.DataFrame(truth, index)
    k = 4 if task == 'multiclass' else 300
    names = [f'{i}' for i in range(k)]
    if task == 'multiclass':
        y = np.arange(n) % k
        p = softmax(rng.normal(size=(n, k)) + np.eye(k)[y], axis=1)
        found = pd.DataFrame(p, index, [f'probability_{c}' for c in names])
        return found, pd.DataFrame({'class': y}, index)
    truth = rng.normal(size=(n, k))
    values = truth + rng.normal(size=(n, k))
    found = pd.DataFrame(values, index, [f'value_{c}' for c in names])
    return found, pd.DataFrame(truth, index, names)


def sklearn_loop(y, p, task, n):
    """The interval of every metric that scikit-learn has, one draw and one metric at a
    time.
    """
    said, rng = p >= 0.5, np.random.default_rng(0)
    if task == 'regression':
        fns = [
            lambda i: np.corrcoef(y[i], p[i])[0, 1],
            lambda i: sk.r2_score(y[i], p[i]),
            lambda i: sk.mean_squared_error(y[i], p[i]),
            lambda i: sk.mean_absolute_error(y[i], p[i]),
        ]
    else:
        fns = [
            lambda i: sk.roc_auc_score(y[i], p[i]),
            lambda i: sk.accuracy_score(y[i], said[i]),
            lambda i: sk.balanced_accuracy_score(y[i], said[i]),
            lambda i: sk.precision_score(y[i], said[i], zero_division=0),
            lambda i: sk.recall_score(y[i], said[i], zero_division=0),
            lambda i: sk.f1_score(y[i], said[i], zero_division=0),
            lambda i: sk.brier_score_loss(y[i], p[i]),
        ]
    found = []
    for fn in fns:
        draws = (rng.integers(0, len(y), len(y)) for _ in range(n))
        found.append(percentile_interval(np.array([fn(i) for i in draws])))
    return found


def cpu(work):
    start = time.process_time()
    work()
    return time.process_time() - start


def coverage(task, n, cohorts):
    "Share of cohorts whose 95 % interval contains the truth."
    rng, inside = np.random.default_rng(n), 0
    for i in range(cohorts):
        if task == 'classification':
            truth, fn, y = norm.cdf(1 / np.sqrt(2)), auroc, np.arange(n) % 2.0
            p = y + rng.normal(size=n)
        else:
            truth, fn, y = 0.5, pearson_r, rng.normal(size=n)
            p = 0.5 * y + np.sqrt(0.75) * rng.normal(size=n)
        (w,) = count_rows(n, 1000, i, n)
        low, high = percentile_interval(fn(y, p, w))
        inside += low <= truth <= high
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
        f'{"task":<16}{"metrics":>8}{"resamples":>11}{"all: evaluate":>15}'
        f'{"rows copied":>13}{"scikit-learn":>14}'
    )
    for task in METRICS:
        predictions, table = cohort(task, args.subjects, np.random.default_rng(0))
        y, p = table.to_numpy(float), predictions.to_numpy()
        plain = task in ('classification', 'regression')
        if task != 'connectivity':
            y = y[:, 0]
        if plain:
            p = p[:, 0]
        fns = METRICS[task].values()
        ways = {
            'resamples': lambda: resample(y, p, task, n),
            'evaluate': lambda: evaluate(predictions, table, task, n=n),
        }
        if plain:
            ways |= {
                'copied': lambda: [bootstrap_ci(fn, y, p, n // 10) for fn in fns],
                'sklearn': lambda: sklearn_loop(y, p, task, n // 100),
            }
        rounds = [
            {name: cpu(way) for name, way in ways.items()} for _ in range(args.rounds)
        ]
        took = {name: statistics.median(r[name] for r in rounds) for name in ways}
        slowest = max(slowest, took['evaluate'])
        line = f'{task:<16}{len(fns):>8}{took["resamples"]:>11.2f}'
        line += f'{took["evaluate"]:>15.2f}'
        if plain:
            line += f'{10 * took["copied"]:>13.1f}{100 * took["sklearn"]:>14.0f}'
        print(line)
    print(
        f'\nSlowest evaluation {slowest:.2f} s: '
        f'{"within" if slowest <= LIMIT else "MORE THAN"} the {LIMIT:g} s allowed.'
    )
    print(
        f'\nCoverage of the 95 % interval, {args.cohorts:,} cohorts, 1,000 resamples '
        f'each\n{"subjects":<10}{"AUROC 0.76":>12}{"r = 0.5":>10}'
    )
    for k in (8, 10, 12, 20, 50, 100):
        shares = (
            coverage(t, k, args.cohorts) for t in ('classification', 'regression')
        )
        print('{:<10}{:>12.1%}{:>10.1%}'.format(k, *shares))


if __name__ == '__main__':
    main()
