"""Run the command as `python -m sluicegate.cli`."""

from sluicegate.cli.app import main

raise SystemExit(main())
