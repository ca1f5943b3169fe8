"""The documents; those that can be made from the code are made by `python -m docs.generate`."""
