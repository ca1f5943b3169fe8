"""One module a dashboard."""

from __future__ import annotations

from ops.grafana.boards.errors import ERRORS
from ops.grafana.boards.overview import OVERVIEW
from ops.grafana.boards.rate_limits import RATE_LIMITS
from ops.grafana.boards.streams import STREAMS
from ops.grafana.boards.workers import WORKERS

BOARDS = (OVERVIEW, RATE_LIMITS, ERRORS, WORKERS, STREAMS)
