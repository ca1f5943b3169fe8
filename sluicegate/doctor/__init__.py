"""The doctor: looks for what stops trading, one module a subject; each finding has its cause and its fix."""
