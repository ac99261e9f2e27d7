(
    '`python -m brainmt <command> [name=value …]`: the same commands as the console '
    'scripts, for torchrun and for machines without them on the PATH.'
)
import sys

# a process that training starts imports this file again, and must not begin anew
if __name__ == '__main__':
    from brainmt.cli.commands import main

    sys.exit(main())
