"""Celery workers: the app, thin tasks, worker life cycle, metrics endpoint."""
