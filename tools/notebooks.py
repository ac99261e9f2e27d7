"""Export the library, run notebooks in the order of the book, store their outputs, clean them, write README.md.

python tools/notebooks.py                     all notebooks; the stored outputs of slow and cuda cells stay
python tools/notebooks.py 07_model            one
python tools/notebooks.py --slow 07_model     its slow cells too (--cuda: the ones that need a GPU)
"""

import argparse
import subprocess
import sys
from pathlib import Path

from book import ROOT, notebooks, run_fresh


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('names', nargs='*')
    parser.add_argument('--slow', action='store_true')
    parser.add_argument('--cuda', action='store_true')
    args = parser.parse_args()
    chosen = notebooks(args.names)
    flags = ['slow', 'slow_ci'] * args.slow + ['cuda'] * args.cuda

    subprocess.run(
        [Path(sys.executable).with_name('nbdev_export')], cwd=ROOT, check=True
    )
    for path in chosen:
        error, seconds = run_fresh(path, flags, store=True, timeout=None)
        if error:
            sys.exit(f'{error}\n{path.stem} failed; its file is as it was.')
        print(f'{seconds:6.1f} s  {path.stem}', flush=True)
    if any(path.stem == 'index' for path in chosen):
        subprocess.run(
            [sys.executable, ROOT / 'tools' / 'docs.py', '--readme'], check=True
        )


if __name__ == '__main__':
    main()
