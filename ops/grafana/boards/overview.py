"""Overview: the flow from producer to fill, as in ARCHITECTURE.md."""

from __future__ import annotations

from ops.grafana.expressions import ACCOUNT, chosen, number, once, quantile, rate, total
from ops.grafana.panels import Board, Form, Panel, Query

FLOW = """**producers** → ledger *(accepted)* → broker → **workers**: gates, tokens → **Bybit** *(live)* → fills

What waits (backoff, quota, schedule, halt) waits in the ledger. The first six numbers follow this way."""

LEDGER = "sluicegate_ledger_orders"
STATES = "sluicegate_orders_total"
ANSWERS = "sluicegate_exchange_responses_total"

WAY = (
    number(
        "1 Accepted",
        "Orders that producers submit.",
        f"sum(rate({chosen('sluicegate:ledger_orders:total', ACCOUNT)}[$__rate_interval]))",
        unit="reqps",
    ),
    number(
        "2 In the ledger",
        "Accepted and not sent: due later, or over quota.",
        total(once("sluicegate_backlog_orders", "account", ACCOUNT)),
    ),
    number(
        "3 In the broker",
        "Messages that no worker has taken yet.",
        total(once("sluicegate_queue_messages", "queue", 'queue="orders"')),
        warn_at=1000,
    ),
    number(
        "4 Sent",
        "Requests that create orders.",
        total(rate(ANSWERS, "account", ACCOUNT, 'endpoint=~"/v5/order/create.*"')),
        unit="reqps",
    ),
    number(
        "5 Live",
        "On the exchange and not at their end.",
        total(once(LEDGER, "account, state", ACCOUNT, 'state=~"live|partially_filled"')) + " or vector(0)",
    ),
    number(
        "6 Filled",
        "Orders that come to their end by a fill.",
        total(rate(STATES, "account", ACCOUNT, 'state="filled"')),
        unit="reqps",
    ),
)

OBSTACLES = (
    number("In doubt", "Sent, and nobody knows yet whether live.", "max(sluicegate_in_doubt_orders)", warn_at=1),
    number(
        "Oldest due",
        "For how long the order that waits longest should have been sent.",
        "max(sluicegate_oldest_due_seconds)",
        unit="s",
        warn_at=60,
    ),
    number(
        "Dead letters",
        "Orders that wait for a person.",
        total(once("sluicegate_dead_letters", "reason")),
        warn_at=1,
    ),
    number(
        "Accounts halted",
        "Nothing is sent for them.",
        "count(max by (account) (sluicegate_account_halted) == 1) or vector(0)",
        warn_at=1,
    ),
    number(
        "Open incidents",
        "What pages are about.",
        total(once("sluicegate_open_incidents", "severity")),
        warn_at=1,
    ),
    number(
        "Alerts",
        "Those that fire, without the watchdog.",
        'count(ALERTS{alertstate="firing", severity!="none"}) or vector(0)',
        warn_at=1,
    ),
)

OVERVIEW = Board(
    "overview",
    "Sluicegate / Overview",
    "The flow from producer to fill, and what stands in its way.",
    (
        *WAY,
        *OBSTACLES,
        Panel(
            "Orders into states",
            "How many orders a second come into each state.",
            (Query(rate(STATES, "state", ACCOUNT), "{{state}}"),),
            unit="reqps",
        ),
        Panel(
            "Orders by state",
            "Every order that the ledger holds: exact, whatever process died.",
            (Query(f"sum by (state) ({once(LEDGER, 'account, state', ACCOUNT)})", "{{state}}"),),
            Form.AREAS,
        ),
        Panel(
            "Time on the way, 99 of 100",
            "queue: due to claimed; token: wait for quota; exchange: request to answer; total: accepted to live.",
            (Query(quantile(0.99, "sluicegate_order_stage_seconds", "le, stage"), "{{stage}}"),),
            unit="s",
        ),
        Panel(
            "Backlog by account",
            "Accepted, unsent orders. Growth means that producers pour faster than the quota lets through.",
            (Query(once("sluicegate_backlog_orders", "account", ACCOUNT), "{{account}}"),),
        ),
    ),
    FLOW,
)
