"`python -m brainmt <command> [name=value …]`: the same commands as the console scripts, for torchrun and for machines without them on the PATH."
import sys

if __name__ == '__main__':   # a process that training starts imports this file again, and must not begin anew
    import brainmt.demo   # adds its command to the others
    from brainmt.cli import main
    sys.exit(main())
