"""Errors: by retCode, dead letters, halts, doubt, pages."""

from __future__ import annotations

from ops.grafana.expressions import ACCOUNT, chosen, once, rate
from ops.grafana.panels import Board, Form, Panel, Query

ANSWERS = "sluicegate_exchange_responses_total"
LAST_ANSWERS = "sluicegate:exchange_responses:last5m"
DEAD = 'state="dead"'

ERRORS = Board(
    "errors",
    "Sluicegate / Errors",
    "What the exchange refused, what became of it, and whom it stopped.",
    (
        Panel(
            "Answers other than 0",
            "By Bybit's code, or a condition such as net_read_timeout: `sluicegate explain CODE`.",
            (Query(rate(ANSWERS, "ret_code", ACCOUNT, 'ret_code!="0"'), "{{ret_code}}"),),
            unit="reqps",
        ),
        Panel(
            "Answers within five minutes",
            "By account and code.",
            (Query(f"sum by (account, ret_code) ({chosen(LAST_ANSWERS, ACCOUNT)}) > 0"),),
            Form.ROWS,
        ),
        Panel(
            "Retries",
            "Attempts that were put off, by code or gate.",
            (Query(rate("sluicegate_retries_total", "reason"), "{{reason}}"),),
            unit="reqps",
        ),
        Panel(
            "Dead letters by reason",
            "Orders that wait for a person: `sluicegate dead-letters list`.",
            (Query(once("sluicegate_dead_letters", "reason"), "{{reason}}"),),
            Form.AREAS,
        ),
        Panel(
            "Halts",
            "Accounts for which nothing is sent, and the code that stopped them.",
            (Query(once("sluicegate_account_halted", "account, reason")),),
            Form.ROWS,
        ),
        Panel(
            "Dead letters within ten minutes",
            "By account. The alert is at ten.",
            (
                Query(
                    f"sum by (account) ({chosen('sluicegate:orders:last10m', ACCOUNT, DEAD)})",
                    "{{account}}",
                ),
            ),
        ),
        Panel(
            "In doubt",
            "Orders, and how long past its horizon the oldest is: that should stay near 0.",
            (
                Query("max(sluicegate_in_doubt_orders)", "orders"),
                Query("max(sluicegate_in_doubt_past_horizon_seconds)", "seconds past the horizon"),
            ),
        ),
        Panel(
            "Pages",
            "Sent and failed within the last hour, by severity.",
            (Query("sum by (kind, result) (increase(sluicegate_pages_total[1h]))", "{{kind}} {{result}}"),),
        ),
        Panel(
            "Open incidents",
            "By severity: `sluicegate incidents list`.",
            (Query(once("sluicegate_open_incidents", "severity"), "{{severity}}"),),
        ),
        Panel(
            "Alerts that fire",
            "The watchdog always does.",
            (Query('max by (alertname, severity, account) (ALERTS{alertstate="firing"})'),),
            Form.ROWS,
        ),
    ),
)
