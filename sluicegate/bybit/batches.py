"""Batches: what Bybit says about each order of a batch, read into outcomes.

The answer to a batch is retCode 0 even when every order in it was refused. What became of an order stands at its
place in two lists: `result.list` (its ids) and `retExtInfo.list` (its code).

Source: Bybit V5 page "Batch Place Order", docs of 2026-07-24.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sluicegate.bybit.answers import AnswerReader, Reply, UnreadableAnswer
from sluicegate.bybit.rows import is_name
from sluicegate.domain.outcomes import Acknowledged, InDoubt, Outcome, Refused


def read_batch(reply: Reply, link_ids: Sequence[str], reader: AnswerReader) -> list[Outcome]:
    """Read the answer to a batch.

    Args:
        reply: the envelope.
        link_ids: of the orders, as they were sent.
        reader: knows the codes.

    Returns:
        One outcome an order, same order. An order whose row says nothing clear is in doubt.

    Raises:
        UnreadableAnswer: the lists do not match what was sent, or a row names the order that its code refuses, so
            no row can be trusted: all are in doubt.
    """
    rows, verdicts = _list(reply.result), _list(reply.items)
    if not len(rows) == len(verdicts) == len(link_ids):
        raise UnreadableAnswer(f"{len(link_ids)} orders, {len(rows)} rows and {len(verdicts)} codes")
    for row, link_id in zip(rows, link_ids, strict=True):
        if row.get("orderLinkId") not in {link_id, "", None}:
            raise UnreadableAnswer("the rows are not in the order of the request")
    outcomes = [_outcome(*of, reply, reader) for of in zip(rows, verdicts, link_ids, strict=True)]
    for row, outcome in zip(rows, outcomes, strict=True):
        if isinstance(outcome, Refused) and row.get("orderId") not in {"", None}:
            raise UnreadableAnswer(f"a row names an order that its code {outcome.code} refuses")
    return outcomes


def _outcome(
    row: Mapping[str, Any], verdict: Mapping[str, Any], link_id: str, reply: Reply, reader: AnswerReader
) -> Outcome:
    code, order_id = verdict.get("code"), row.get("orderId")
    if type(code) is not int:
        return InDoubt("json_decode_error", "the code of the order is not a number", headers=reply.headers)
    if code != 0:
        outcome = reader.refusal_of(code, verdict.get("msg", ""), reply.headers, is_write=True)
        return replace(outcome, exchange_time_ms=reply.time_ms) if isinstance(outcome, Refused) else outcome
    if not is_name(order_id) or row.get("orderLinkId") != link_id:
        return InDoubt("json_decode_error", "the row does not name our order", headers=reply.headers)
    return Acknowledged(order_id[:64], reply.time_ms, reply.headers)


def _list(holder: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    rows = holder.get("list")
    if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
        raise UnreadableAnswer("a batch without its lists")
    return rows
