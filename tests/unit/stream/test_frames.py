"""Frames are read into what they show; nothing that a server sends stops the reading."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluicegate.bybit.frames import Noise, Parcel, Pong, Reply, read_frame

ORDER = {
    "category": "linear",
    "symbol": "BTCUSDT",
    "orderId": "9f",
    "orderLinkId": "sg-1",
    "parentOrderLinkId": "sg-0",
    "orderStatus": "PartiallyFilled",
    "side": "Buy",
    "qty": "0.010",
    "price": "50000.1",
    "cumExecQty": "0.004",
    "avgPrice": "50000.1",
    "rejectReason": "EC_NoError",
    "stopOrderType": "",
    "updatedTime": "1700000000001",
}
EXECUTION = {
    "category": "linear",
    "symbol": "BTCUSDT",
    "orderId": "9f",
    "orderLinkId": "",
    "side": "Buy",
    "execId": "e1",
    "execType": "Funding",
    "execQty": "0.004",
    "execPrice": "50000.1",
    "execFee": "-0.11",
    "feeCurrency": "USDT",
    "isMaker": False,
    "execTime": "1700000000000",
}
POSITION = {
    "category": "linear",
    "symbol": "BTCUSDT",
    "positionIdx": 0,
    "side": "Sell",
    "size": "1",
    "entryPrice": "7",
}
WALLET = {"accountType": "UNIFIED", "coin": [{"coin": "USDT", "walletBalance": "5", "equity": "6", "locked": ""}]}


def frame(topic: str, *rows: Any) -> str:
    """Return a data message."""
    return json.dumps({"id": "x", "topic": topic, "creationTime": 1700000000123, "data": list(rows)})


def test_order_message_shows_orders_with_their_category_and_parent() -> None:
    """What the ledger needs of an order is there, exact."""
    parcel = read_frame(frame("order", ORDER))

    assert isinstance(parcel, Parcel)
    (seen,) = parcel.sightings
    assert ("order", 1700000000123) == (parcel.topic, parcel.created_ms)
    assert ("linear", "sg-0", 1700000000001, Decimal("0.004")) == (
        seen.category, seen.parent_link_id, seen.updated_ms, seen.cum_exec_qty
    )  # fmt: skip


def test_execution_position_and_wallet_messages_are_read() -> None:
    """Every topic is read into its own kind."""
    fills, positions, balances = (
        read_frame(frame(topic, row))
        for topic, row in (("execution.linear", EXECUTION), ("position", POSITION), ("wallet", WALLET))
    )
    assert isinstance(fills, Parcel)
    assert isinstance(positions, Parcel)
    assert isinstance(balances, Parcel)
    assert ("Funding", "", Decimal("-0.11")) == (
        fills.fills[0].exec_type, fills.fills[0].link_id, fills.fills[0].fee
    )  # fmt: skip
    assert Decimal(-1) == positions.positions[0].net
    assert ("USDT", Decimal(5), Decimal(0)) == (
        balances.balances[0].coin, balances.balances[0].wallet, balances.balances[0].locked
    )  # fmt: skip


def test_broken_row_does_not_hide_the_others() -> None:
    """One row that cannot be read is counted; the rest of its message counts."""
    parcel = read_frame(frame("order", {**ORDER, "qty": "many"}, ORDER, None))

    assert isinstance(parcel, Parcel)
    assert (1, 2) == (len(parcel.sightings), parcel.unreadable)
    assert parcel.example


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"req_id":"p","op":"pong","args":["1700000000000"],"conn_id":"c"}', Pong()),
        ('{"success":true,"ret_msg":"pong","op":"ping","conn_id":"c"}', Pong()),
        ('{"success":true,"ret_msg":"","op":"auth","conn_id":"c"}', Reply("auth", "", True, "")),
        (
            '{"success":false,"ret_msg":"no","op":"subscribe","req_id":"s-1","conn_id":"c"}',
            Reply("subscribe", "s-1", False, "no"),
        ),
        ("[]", Noise("not an object")),
        ("{", Noise("not JSON")),
        ('{"topic":"dcp.future","data":[]}', Noise("topic dcp.future without rows that we know")),
    ],
)
def test_other_frames_are_told_apart(text: str, expected: object) -> None:
    """Pongs, replies and noise."""
    assert expected == read_frame(text)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*ORDER, "coin"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(topic=st.sampled_from(["order", "execution", "position", "wallet"]), rows=anything, row=st.data())
def test_no_message_makes_the_reader_raise(topic: str, rows: Any, row: st.DataObject) -> None:
    """Hostile rows end as unreadable, never as an exception."""
    broken = {**{"order": ORDER, "execution": EXECUTION, "position": POSITION, "wallet": WALLET}[topic]}
    broken[row.draw(st.sampled_from(sorted(broken)))] = row.draw(anything)
    read_frame(json.dumps({"topic": topic, "creationTime": 1, "data": rows}))
    read_frame(frame(topic, broken))
