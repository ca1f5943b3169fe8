"""Every path the exchange serves, who may call it, and what answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from simulator import account_calls, batches, market_calls, position_calls, queries, trading
from simulator.exchange import Call, Exchange
from simulator.gates import Permission
from simulator.wire import Json, Reply

PublicCall = Callable[[Exchange, Json], Reply]
SignedCall = Callable[[Call], Reply]


class Signed(NamedTuple):
    """A signed endpoint."""

    method: str
    answer: SignedCall
    permission: Permission = "any"


PUBLIC: dict[str, PublicCall] = {
    "/v5/market/time": market_calls.server_time,
    "/v5/market/instruments-info": market_calls.instruments_info,
    "/v5/market/tickers": market_calls.tickers,
    "/v5/market/orderbook": market_calls.orderbook,
    "/v5/market/price-limit": market_calls.price_limit,
}

SIGNED: dict[str, Signed] = {
    "/v5/order/create": Signed("POST", trading.create, "order"),
    "/v5/order/amend": Signed("POST", trading.amend, "order"),
    "/v5/order/cancel": Signed("POST", trading.cancel, "order"),
    "/v5/order/cancel-all": Signed("POST", trading.cancel_all, "order"),
    "/v5/order/create-batch": Signed("POST", batches.create_batch, "order"),
    "/v5/order/amend-batch": Signed("POST", batches.amend_batch, "order"),
    "/v5/order/cancel-batch": Signed("POST", batches.cancel_batch, "order"),
    "/v5/order/realtime": Signed("GET", queries.realtime),
    "/v5/order/history": Signed("GET", queries.history),
    "/v5/execution/list": Signed("GET", queries.executions),
    "/v5/position/list": Signed("GET", position_calls.position_list),
    "/v5/position/set-leverage": Signed("POST", position_calls.set_leverage, "position"),
    "/v5/position/switch-mode": Signed("POST", position_calls.switch_mode, "position"),
    "/v5/position/trading-stop": Signed("POST", position_calls.trading_stop, "position"),
    "/v5/account/wallet-balance": Signed("GET", account_calls.wallet_balance),
    "/v5/account/info": Signed("GET", account_calls.account_info),
    "/v5/account/fee-rate": Signed("GET", account_calls.fee_rate),
    "/v5/account/user-setting-config": Signed("GET", account_calls.user_setting_config),
    "/v5/account/set-limit-px-action": Signed("POST", account_calls.set_limit_px_action, "settings"),
    "/v5/account/set-margin-mode": Signed("POST", account_calls.set_margin_mode, "settings"),
    "/v5/account/instruments-info": Signed("GET", account_calls.account_instruments),
    "/v5/user/query-api": Signed("GET", account_calls.query_api),
    "/v5/asset/coin/query-info": Signed("GET", account_calls.coin_info),
}
