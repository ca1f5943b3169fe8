"""Pages: how an incident reaches a person."""
