"""What the platform does with orders: submit, execute, resolve, cancel, amend, release, halt."""
