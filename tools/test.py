"""What must hold before a change lands: a line a check, then how many passed.

python tools/test.py               all; cells flagged slow, slow_ci or cuda are left out
python tools/test.py 07_model      one notebook (data/space where a name is not enough)
python tools/test.py --slow-ci     the notebooks that have slow_ci cells, with them
python tools/test.py --checks      all but the notebooks
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

from book import NBS, directives, notebooks, run_fresh, side_by_side
from checks import AFTER, BEFORE


def report(name, problems, seconds):
    "Print one line, and the problems below it; whether there are none."
    word = 'FAILED' if problems else 'ok    '
    print(f'{word} {seconds:6.1f} s  {name}', flush=True)
    for problem in problems:
        print('    ' + str(problem).strip().replace('\n', '\n    '), flush=True)
    return not problems


def run_check(check):
    "Run one check in a temporary folder."
    started = time.time()
    with tempfile.TemporaryDirectory() as tmp:
        problems = check(Path(tmp))
    return report(check.__doc__, problems, time.time() - started)


def files_in_book():
    return {p for p in NBS.rglob('*') if '__pycache__' not in p.parts}


def run_notebooks(chosen, flags=()):
    "Each notebook in a process of its own; its stored outputs stay as they are."
    before, results = files_in_book(), []
    runs = side_by_side(lambda path: run_fresh(path, flags), chosen)
    for path, (error, seconds) in zip(chosen, runs):
        name = path.relative_to(NBS).with_suffix('').as_posix()
        results.append(report(name, [error] if error else [], seconds))
    left = sorted(str(p.relative_to(NBS)) for p in files_in_book() - before)
    if left:
        results.append(report('the notebooks leave nothing behind in nbs/', left, 0))
    return results


def is_slow(path):
    "Whether a notebook has cells flagged slow_ci."
    cells = json.loads(path.read_text(encoding='utf-8'))['cells']
    return any('slow_ci' in directives(''.join(c['source'])) for c in cells)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('names', nargs='*')
    parser.add_argument('--slow-ci', action='store_true')
    parser.add_argument('--checks', action='store_true')
    args = parser.parse_args()
    chosen, started = notebooks(args.names), time.time()
    if args.slow_ci:
        what = 'the slow cells'
        results = run_notebooks([p for p in chosen if is_slow(p)], ['slow_ci'])
    elif args.names:
        what = ', '.join(args.names)
        results = run_notebooks(chosen)
    else:
        what = 'library, notebooks, README, docs and wheel'
        results = [run_check(check) for check in BEFORE]
        results += [] if args.checks else run_notebooks(chosen)
        results += [run_check(check) for check in AFTER]
    passed, failed = sum(results), len(results) - sum(results)
    verdict = 'Something is wrong' if failed else 'All is well'
    print(f'\n{verdict}: {what}, checked in {time.time() - started:.0f} s.')
    print(f'{passed} passed, {failed} failed')
    sys.exit(bool(failed))


if __name__ == '__main__':
    main()
