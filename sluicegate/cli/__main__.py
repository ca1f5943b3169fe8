"""Run the command as `python -m sluicegate.cli`."""

import sys

from sluicegate.cli.app import run

if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
