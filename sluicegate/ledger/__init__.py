"""The SQL database that owns the truth about every order."""
