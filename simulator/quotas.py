"""How many requests a second each endpoint admits for one UID, and which requests share a bucket."""

from __future__ import annotations

from typing import Literal

Line = Literal["linear", "spot", "option", "all"]

# Source: Bybit V5 docs, rate-limit page (read 2026-07-24): default (non-VIP) figures per UID and second.
# Linear and inverse share one cell of the table and are taken to share one bucket; so do the queries of all
# categories.
QUOTAS: dict[str, dict[Line, int]] = {
    "/v5/order/create": {"linear": 10, "option": 10, "spot": 20},
    "/v5/order/amend": {"linear": 10, "option": 10, "spot": 10},
    "/v5/order/cancel": {"linear": 10, "option": 10, "spot": 20},
    "/v5/order/cancel-all": {"linear": 10, "option": 1, "spot": 20},
    "/v5/order/create-batch": {"linear": 10, "option": 10, "spot": 20},
    "/v5/order/amend-batch": {"linear": 10, "option": 10, "spot": 20},
    "/v5/order/cancel-batch": {"linear": 10, "option": 10, "spot": 20},
    "/v5/order/realtime": {"all": 50},
    "/v5/order/history": {"all": 50},
    "/v5/execution/list": {"all": 50},
    "/v5/position/list": {"all": 50},
    "/v5/position/set-leverage": {"all": 10},
    "/v5/position/switch-mode": {"all": 10},
    "/v5/position/trading-stop": {"all": 10},
    "/v5/account/wallet-balance": {"all": 50},
    "/v5/account/info": {"all": 50},
    "/v5/account/fee-rate": {"all": 5},
    "/v5/account/user-setting-config": {"all": 50},
    "/v5/account/set-limit-px-action": {"all": 10},
    "/v5/account/set-margin-mode": {"all": 5},
    "/v5/account/instruments-info": {"all": 10},
    "/v5/user/query-api": {"all": 10},
    "/v5/asset/coin/query-info": {"all": 5},
}

BATCH_PATHS = frozenset({"/v5/order/create-batch", "/v5/order/amend-batch", "/v5/order/cancel-batch"})


def line_of(path: str, category: object) -> Line:
    """Name the bucket of an endpoint that a category's requests draw on.

    Args:
        path: The endpoint's path, a key of `QUOTAS`.
        category: The request's `category`; an unknown one falls to the linear bucket.
    """
    lines = QUOTAS[path]
    if "all" in lines:
        return "all"
    if category == "spot":
        return "spot"
    return "option" if category == "option" else "linear"
