"""Grafana's dashboards, made from code: `python -m ops.grafana`."""
