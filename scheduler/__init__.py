"""Celery Beat and the control worker: release, resolve, follow, refresh, gauges."""
