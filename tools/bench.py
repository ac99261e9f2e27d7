"""Run benchmarks in turn; show what each prints, and store it in benchmarks/results/.

A line on top of each result says on what kind of machine it was measured.

    python tools/bench.py scan conv          these two
    python tools/bench.py scan --quick       one, with options of its own

A benchmark that fails ends the run with its exit status; its stored result stays.
"""

import datetime
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

from book import ROOT

BENCHMARKS, RESULTS = ROOT / 'benchmarks', ROOT / 'benchmarks/results'
# by PyTorch's name for what the processor has
WIDTHS = {'AVX512': '512-bit vectors', 'AVX2': '256-bit vectors'}


def machine():
    "The machine in words: no name of a host, a person or a folder."
    import torch

    gigabytes = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30
    vectors = WIDTHS.get(torch.backends.cpu.get_cpu_capability(), '128-bit vectors')
    return (
        f'{os.cpu_count()} cores ({platform.machine()}), {vectors}, {gigabytes:.0f} '
        f'GB of memory, {platform.system()}, Python {platform.python_version()}, '
        f'PyTorch {torch.__version__}'
    )


def worked():
    """Seconds that all cores have worked so far, and those of our own finished
    children; (0, 0) where the system does not tell.
    """
    try:
        user, nice, system = map(int, Path('/proc/stat').read_text().split()[1:4])
    except OSError:
        return 0.0, 0.0
    own = os.times()
    return (user + nice + system) / os.sysconf(
        'SC_CLK_TCK'
    ), own.user + own.system + own.children_user + own.children_system


def run(name, options, where):
    """Run one benchmark, line by line onto the screen and, if it ends well, into its
    file. Gives its exit status.
    """
    command, lines = [sys.executable, '-u', BENCHMARKS / f'{name}.py', *options], []
    began, before = time.monotonic(), worked()
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, text=True, encoding='utf-8'
    ) as process:
        for line in process.stdout:
            print(line, end='', flush=True)
            lines.append(line)
    all_cores, own = (b - a for a, b in zip(before, worked()))
    # cores that somebody else kept busy meanwhile
    others = (all_cores - own) / (time.monotonic() - began)
    if process.returncode == 0:
        RESULTS.mkdir(exist_ok=True)
        beside = f'beside other work on {others:.1f} cores'
        load = 'otherwise idle' if others < 0.1 else beside
        command = ' '.join([f'benchmarks/{name}.py', *options])
        head = f'# {datetime.date.today()}, {where}, {load}: {command}\n'
        (RESULTS / f'{name}.txt').write_text(head + ''.join(lines), encoding='utf-8')
    return process.returncode


def main():
    names = [word for word in sys.argv[1:] if (BENCHMARKS / f'{word}.py').exists()]
    options = [word for word in sys.argv[1:] if word not in names]
    if not names or (options and not options[0].startswith('-')):
        sys.exit(
            f'{__doc__}\nThere are: '
            f'{", ".join(sorted(p.stem for p in BENCHMARKS.glob("*.py")))}.'
        )
    where = machine()
    for name in names:
        if failed := run(name, options, where):
            sys.exit(failed)


if __name__ == '__main__':
    main()
