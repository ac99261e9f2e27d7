"""What the tools share: the list of notebooks, their flags, and how one is run.

python tools/book.py nbs/core/07_model.ipynb [--flags slow,slow_ci,cuda] [--store]
    runs one notebook in this process
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NBS = ROOT / 'nbs'
# cells with these flags run only when asked for
SKIPPED = {'slow', 'slow_ci', 'cuda'}
QUIET = dict(IN_TEST='1', TQDM_DISABLE='1', PYTHONHASHSEED='0', HF_HUB_OFFLINE='1')


def contents():
    "The table of contents, from _quarto.yml's sidebar: [(part or '', [notebooks])]."
    import yaml

    text = (ROOT / '_quarto.yml').read_text(encoding='utf-8')
    parts = []
    for entry in yaml.safe_load(text)['website']['sidebar']['contents']:
        if isinstance(entry, str):
            parts.append(('', [NBS / entry]))
        else:
            parts.append((entry['section'], [NBS / name for name in entry['contents']]))
    return parts


def notebooks(names=()):
    """All notebooks in the order of the book, or the named ones: '07_model' or
    'data/space'.
    """
    order = {
        path: i for i, path in enumerate(p for _, part in contents() for p in part)
    }
    found = []
    for path in sorted(
        NBS.rglob('*.ipynb'), key=lambda p: (order.get(p, len(order)), p)
    ):
        if not any(part.startswith(('.', '_')) for part in path.relative_to(NBS).parts):
            found.append(path)
    called = {p: {p.stem, p.relative_to(NBS).with_suffix('').as_posix()} for p in found}
    unknown = set(names) - set().union(*called.values())
    if unknown:
        sys.exit(
            f'No such notebook: {", ".join(sorted(unknown))}. '
            f'There are: {", ".join(p.stem for p in found)}.'
        )
    return [p for p in found if not names or called[p] & set(names)]


def directives(source):
    "The `#| ...` lines of a cell: {'slow': '', 'fig-alt': 'what is seen'}."
    lines = re.findall(r'^#\|\s*([\w-]+)\s*:?\s*(.*)$', source, flags=re.MULTILINE)
    return {key: value.strip().strip('"\'') for key, value in lines}


def is_skipped(source, flags):
    """Whether a cell does not run, given the flags asked for.

    `slow_ci` counts before `slow`.
    """
    found = directives(source)
    own = found.keys() & SKIPPED
    if 'slow_ci' in own:
        own -= {'slow'}
    return bool(own - set(flags)) or found.get('eval') == 'false'


def texts(outputs):
    "All that a cell's outputs say in words."
    found = []
    for out in outputs or []:
        for kind, text in sorted(out.get('data', {}).items()):
            if kind.startswith('text'):
                found.append(''.join(text))
    return found


def first_line(cell):
    "A cell's first line of code: enough to find it."
    lines = cell.source.splitlines()
    return next((line for line in lines if line and not line.startswith('#')), '')


def run_here(path, flags, store):
    """Run a notebook in this process; with `store`, write its outputs back.

    Exits with the traceback of the first cell that fails.
    """
    from execnb.nbio import read_nb, write_nb
    from execnb.shell import CaptureShell
    from IPython.core.history import HistoryManager

    # its thread may complain into any cell's output when the disk is slow
    HistoryManager.enabled.default_value = False
    nb, unstored = read_nb(path), []
    os.chdir(path.parent)
    shell = CaptureShell(path.parent)
    for cell in nb.cells:
        if cell.cell_type != 'code' or is_skipped(cell.source, flags):
            continue
        stored, cell['outputs'] = cell.get('outputs'), []
        started = time.time()
        shell.cell(cell)
        seconds = time.time() - started
        if seconds > 10:
            print(f'         {path.stem}: {seconds:.0f} s in {first_line(cell)}')
        if shell.exc:
            traceback = shell.prettytb(fname=path.name)
            sys.exit(f'{traceback}\nin the cell:\n\n{cell.source}')
        fresh = 'fresh' in directives(cell.source)
        if (
            cell.outputs
            and not stored
            or fresh
            and texts(cell.outputs) != texts(stored)
        ):
            unstored.append(f'{first_line(cell)}\n    {str(cell.outputs)[:300]}')
    if store:
        from nbdev.clean import clean_nb

        clean_nb(nb, clean_ids=False)
        write_nb(nb, path)
    elif unstored:
        sys.exit(
            f'{path.name}: the output of these cells is not stored, or no longer what '
            f'is stored; run `make notebooks NB={path.stem}`:\n  '
            + '\n  '.join(unstored)
        )


def run_fresh(path, flags=(), store=False, timeout=900):
    """Run a notebook in a process and a temporary folder of its own.

    Gives (error text or '', seconds).
    """
    command = [sys.executable, __file__, path, '--flags', ','.join(flags)]
    command += ['--store'] * store
    env = os.environ | QUIET
    for name in ('OMP', 'MKL', 'OPENBLAS', 'NUMBA'):
        env[f'{name}_NUM_THREADS'] = '1'  # notebooks run side by side
    with tempfile.TemporaryDirectory() as tmp:
        env |= dict(TMPDIR=tmp, IPYTHONDIR=tmp)
        started = time.time()
        try:
            run = subprocess.run(
                command, env=env, capture_output=True, text=True, timeout=timeout
            )
        except subprocess.TimeoutExpired:
            return f'{path.name}: stopped after {timeout} s.', timeout
    if run.returncode:
        return run.stderr or 'failed without a word', time.time() - started
    print(run.stdout, end='')
    return '', time.time() - started


def side_by_side(function, items):
    "`function` of each item in order, as many at a time as there are cores, 4 at most."
    cores = os.cpu_count()
    if hasattr(os, 'sched_getaffinity'):
        cores = len(os.sched_getaffinity(0))
    with ThreadPoolExecutor(max(1, min(4, cores))) as pool:
        yield from pool.map(function, items)


if __name__ == '__main__':
    parser = argparse.ArgumentParser()
    parser.add_argument('path', type=Path)
    parser.add_argument('--flags', default='')
    parser.add_argument('--store', action='store_true')
    args = parser.parse_args()
    run_here(args.path.resolve(), args.flags.split(','), args.store)
