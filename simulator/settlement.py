"""Fills: executions, fees, balances and positions."""

from __future__ import annotations

import itertools
from decimal import Decimal

from simulator.accounts import MAKER_FEE, TAKER_FEE, Account, Position
from simulator.clock import Clock
from simulator.ids import new_uuid
from simulator.instruments import ZERO
from simulator.margin import Margin
from simulator.orders import Execution, Order, Status

_GRAIN = Decimal("1E-12")


class Settlement:
    """Book what trades."""

    def __init__(self, clock: Clock, margin: Margin) -> None:
        self._clock = clock
        self._margin = margin
        self._seq = itertools.count(1)

    def fill(self, account: Account, order: Order, price: Decimal, qty: Decimal, *, is_maker: bool) -> Execution:
        """Trade `qty` (in base coin or contracts) of an order at a price.

        The order's holding shrinks, its executed figures grow; its status is the matcher's business.
        """
        now_ms = self._clock.now_ms()
        category = order.category
        value = order.instrument.value(qty, price)
        fee_rate = (MAKER_FEE if is_maker else TAKER_FEE)[category]
        before = order.remaining
        self._margin.release_share(account, order, value if order.by_quote else qty, before)
        order.executed_qty += qty
        order.executed_value += value
        order.updated_ms = now_ms
        execution = Execution(
            id=new_uuid(),
            seq=next(self._seq),
            order=order,
            price=price,
            qty=qty,
            value=value,
            fee=ZERO,
            fee_coin="",
            fee_rate=fee_rate,
            is_maker=is_maker,
            time_ms=now_ms,
            leaves=ZERO if order.by_quote else order.remaining,
        )
        if category == "spot":
            _settle_spot(account, execution)
        else:
            _settle_contract(account, execution)
        order.fee += execution.fee
        order.fee_coin = execution.fee_coin
        if order.executions is None:
            order.executions = []
        order.executions.append(execution)
        account.executions[category].append(execution)
        return execution

    def fund(self, account: Account, position: Position, mark: Decimal, rate: Decimal) -> Execution:
        """Book a funding fee: an execution that belongs to no order anybody placed.

        Args:
            account: Who holds the position.
            position: What is held; it does not change.
            mark: The price that its value is reckoned at.
            rate: Positive if longs pay.
        """
        instrument, now_ms = position.instrument, self._clock.now_ms()
        value = instrument.value(position.size, mark)
        fee = (value * rate * (1 if position.net > 0 else -1)).quantize(_GRAIN)
        bearer = Order(
            number=0,
            id=f"{now_ms // 1000}-{instrument.symbol}-{account.uid}-{'Sell' if position.net > 0 else 'Buy'}",
            link_id="",
            uid=account.uid,
            instrument=instrument,
            side="Sell" if position.net > 0 else "Buy",
            kind="UNKNOWN",
            qty=ZERO,
            price=ZERO,
            tif="GTC",
            created_ms=now_ms,
            updated_ms=now_ms,
            position_idx=position.idx,
            create_type="",
            status=Status.FILLED,
        )
        execution = Execution(
            id=new_uuid(),
            seq=next(self._seq),
            order=bearer,
            price=mark,
            qty=position.size,
            value=value,
            fee=fee,
            fee_coin=instrument.settle,
            fee_rate=rate,
            is_maker=False,
            time_ms=now_ms,
            leaves=ZERO,
            kind="Funding",
        )
        wallet = account.wallet(instrument.settle)
        wallet.balance -= fee
        wallet.realised -= fee
        position.realised -= fee
        position.seq = execution.seq
        account.executions[instrument.category].append(execution)
        return execution


def _settle_spot(account: Account, execution: Execution) -> None:
    """Swap the coins; the fee is paid in the coin that is received."""
    order = execution.order
    base, quote = account.wallet(order.instrument.base), account.wallet(order.instrument.quote)
    if order.is_buy:
        execution.fee_coin = order.instrument.base
        execution.fee = (execution.qty * execution.fee_rate).quantize(_GRAIN)
        quote.balance -= execution.value
        base.balance += execution.qty - execution.fee
    else:
        execution.fee_coin = order.instrument.quote
        execution.fee = (execution.value * execution.fee_rate).quantize(_GRAIN)
        base.balance -= execution.qty
        quote.balance += execution.value - execution.fee


def _settle_contract(account: Account, execution: Execution) -> None:
    """Change the position; profit and fee go to the wallet of the settle coin."""
    order = execution.order
    settle = order.instrument.settle
    execution.fee_coin = settle
    execution.fee = (execution.value * execution.fee_rate).quantize(_GRAIN)
    position = account.position(order.instrument, order.position_idx)
    signed = execution.qty if order.is_buy else -execution.qty
    execution.closed_size, execution.profit = position.trade(signed, execution.price, execution.time_ms)
    position.seq = execution.seq
    account.keep(position)
    wallet = account.wallet(settle)
    wallet.balance += execution.profit - execution.fee
    wallet.realised += execution.profit - execution.fee
