"""What runs Sluicegate on hosts: see README.md."""
