"""The command `sluicegate`."""
