"""The Protocols that services talk to; adapters implement them."""

from __future__ import annotations

from sluicegate.ports.buckets import Buckets, BucketSpec, BucketState, Grant, Lane, LaneGrant, LaneKind, Trip
from sluicegate.ports.clock import Clock
from sluicegate.ports.evidence import EvidenceLedger, Witnessed
from sluicegate.ports.exchange import (
    Account,
    Accounts,
    Answer,
    CodeBook,
    Exchange,
    ExchangeClock,
    KeyInfo,
    Lookup,
    Market,
    Page,
    Quotas,
)
from sluicegate.ports.ledger import ChangePatch, Ledger, Move, OrderFilter, OrderUpdate, Patch
from sluicegate.ports.messages import Pager, Publisher, Standing
from sluicegate.ports.observers import Observer, StreamObserver

__all__ = [
    "Account",
    "Accounts",
    "Answer",
    "BucketSpec",
    "BucketState",
    "Buckets",
    "ChangePatch",
    "Clock",
    "CodeBook",
    "EvidenceLedger",
    "Exchange",
    "ExchangeClock",
    "Grant",
    "KeyInfo",
    "Lane",
    "LaneGrant",
    "LaneKind",
    "Ledger",
    "Lookup",
    "Market",
    "Move",
    "Observer",
    "OrderFilter",
    "OrderUpdate",
    "Page",
    "Pager",
    "Patch",
    "Publisher",
    "Quotas",
    "Standing",
    "StreamObserver",
    "Trip",
    "Witnessed",
]
