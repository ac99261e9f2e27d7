"""Make .venv: the tested set of packages, and this project in editable form.

`make` calls it with the Python it found. Only the standard library is used. A second
call does nothing, unless settings.ini, setup.py, constraints.txt, the Python version or
the folder has changed.
"""

import hashlib
import shutil
import subprocess
import sys
import urllib.request
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / '.venv'
PYTHON = VENV / 'bin' / 'python'
STAMP = VENV / 'installed'
# PyTorch without CUDA: 0.2 GB instead of 3 GB
CPU_WHEELS = 'https://download.pytorch.org/whl/cpu'


def say(text):
    print(f'[install] {text}', flush=True)


def fingerprint():
    "Changes whenever the environment has to be looked at again."
    files = ('settings.ini', 'setup.py', 'constraints.txt', 'tools/install.py')
    text = b'\0'.join((ROOT / f).read_bytes() for f in files)
    return hashlib.sha256(text + f'{ROOT}{sys.version}'.encode()).hexdigest()


def works():
    "Whether .venv has our Python with pip, made for this folder: moved ones break."
    activate = VENV / 'bin' / 'activate'
    if not PYTHON.exists() or str(VENV) not in activate.read_text(errors='ignore'):
        return False
    code = 'import sys, pip; print(*sys.version_info[:2])'
    run = subprocess.run([PYTHON, '-c', code], capture_output=True, text=True)
    return run.stdout.split() == [str(n) for n in sys.version_info[:2]]


def pip(*args):
    progress = 'on' if sys.stdout.isatty() else 'off'
    quiet = ['--disable-pip-version-check', '--progress-bar', progress]
    command = [PYTHON, '-m', 'pip', 'install', *quiet, '-c', ROOT / 'constraints.txt']
    return subprocess.run([*command, *args], cwd=ROOT).returncode == 0


def has_nvidia_gpu():
    driver = Path('/proc/driver/nvidia/version')
    return driver.exists() or shutil.which('nvidia-smi') is not None


def reachable(url):
    try:
        return urllib.request.urlopen(url, timeout=5).status == 200
    except OSError:
        return False


def install_torch():
    "torch and torchvision in one command, so that pip chooses a pair that fits."
    if sys.platform == 'linux' and not has_nvidia_gpu():
        say("No NVIDIA GPU here: looking for PyTorch's small CPU build ...")
        if reachable(f'{CPU_WHEELS}/torch/') and pip(
            'torch', 'torchvision', '--index-url', CPU_WHEELS
        ):
            return True
        say(
            "PyTorch's CPU index cannot be used from here; taking the build that pip "
            'finds by itself. It may be large.'
        )
    return pip('torch', 'torchvision')


def main():
    if sys.version_info < (3, 11):
        sys.exit(
            '[install] Python 3.11 or newer is needed, this is '
            f'{sys.version.split()[0]}.'
        )
    wanted = fingerprint()
    if STAMP.exists() and STAMP.read_text() == wanted and works():
        return STAMP.touch()
    if not works():
        say(f'Making .venv with Python {sys.version.split()[0]} ...')
        venv.create(VENV, with_pip=True, clear=True)
    say('1 of 2: PyTorch')
    if not install_torch():
        sys.exit(
            '[install] PyTorch could not be installed; the reason stands above. Run '
            'make again to go on from here.'
        )
    say('2 of 2: the other packages, and brainmt itself')
    if not pip('--use-pep517', '-e', f'{ROOT}[dev]'):
        sys.exit(
            '[install] It stopped here; the reason stands above. Run make again to go '
            'on.'
        )
    STAMP.write_text(wanted)
    say('Done: .venv is ready.')


if __name__ == '__main__':
    main()
