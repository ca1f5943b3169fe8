"""Settings: one frozen, validated tree, and the only reader of the environment."""

from __future__ import annotations

from sluicegate.config.processes import PagingSettings, SchedulerSettings, StreamSettings
from sluicegate.config.settings import PREFIX, Settings, load_settings
from sluicegate.config.trading import AccountSettings, Credentials, ExchangeSettings, OrderEntry
from sluicegate.config.values import LOOPBACK, Environment

__all__ = [
    "LOOPBACK",
    "PREFIX",
    "AccountSettings",
    "Credentials",
    "Environment",
    "ExchangeSettings",
    "OrderEntry",
    "PagingSettings",
    "SchedulerSettings",
    "Settings",
    "StreamSettings",
    "load_settings",
]
