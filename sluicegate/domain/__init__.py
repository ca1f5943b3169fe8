"""The rules of the trade: pure values and functions, no I/O, no clock, no SQL."""
