"""The command `sluicegate`: one module a command group; heavy libraries are imported inside commands."""
