"""The signed calls about the account itself: key, settings, balances, fees."""

from __future__ import annotations

from collections.abc import Collection
from decimal import Decimal

from simulator.accounts import MAKER_FEE, TAKER_FEE, Account, Wallet
from simulator.codes import bad_parameter
from simulator.exchange import Call, Exchange
from simulator.instruments import ZERO
from simulator.market_calls import instruments_info
from simulator.orders import text
from simulator.parameters import category_of, flag_of, instrument_of
from simulator.wire import Json, Refusal, Reply

MARGIN_MODES = ("ISOLATED_MARGIN", "REGULAR_MARGIN", "PORTFOLIO_MARGIN")
_GRAIN = Decimal("1E-8")


def query_api(call: Call) -> Reply:
    """Describe the key that signed the call."""
    key = call.key
    is_bound = "*" not in key.ips
    return Reply(
        {
            "id": str(key.uid * 10),
            "note": "simulator",
            "apiKey": key.api_key,
            "readOnly": int(key.read_only),
            "secret": "",
            "permissions": {name: list(rights) for name, rights in key.permissions.items()},
            "ips": list(key.ips),
            "type": 1,
            "deadlineDay": -2 if is_bound else key.days_left,
            "expiredAt": "1970-01-01T00:00:00Z" if is_bound else "2099-01-01T00:00:00Z",
            "createdAt": "2024-01-01T00:00:00Z",
            "unified": 0,
            "uta": int(call.account.is_unified),
            "userID": key.uid,
            "inviterID": 0,
            "vipLevel": "No VIP",
            "mktMakerLevel": "0",
            "affiliateID": 0,
            "rsaPublicKey": "",
            "isMaster": True,
            "parentUid": "0",
            "kycLevel": "LEVEL_DEFAULT",
            "kycRegion": "",
        }
    )


def account_info(call: Call) -> Reply:
    """Describe the account: a unified trading account 2.0, or a classic one."""
    return Reply(
        {
            "marginMode": call.account.margin_mode,
            "updatedTime": str(call.exchange.clock.now_ms()),
            "unifiedMarginStatus": 5 if call.account.is_unified else 1,
            "dcpStatus": "OFF",
            "timeWindow": 0,
            "smpGroup": 0,
            "isMasterTrader": False,
            "spotHedgingStatus": "OFF",
        }
    )


def user_setting_config(call: Call) -> Reply:
    """Tell what happens to limit prices outside the band; Bybit's two flags mean opposite things."""
    moves = call.account.moves_price
    return Reply(
        {
            "lpaSpot": moves["spot"],
            "lpaPerp": not moves["linear"],
            "deltaEnable": False,
            "smpGroup": 0,
        }
    )


def set_limit_px_action(call: Call) -> Reply:
    """Choose between moving and refusing limit prices outside the band."""
    category = category_of(call.params, ("spot", "linear", "inverse"))
    enabled = flag_of(call.params, "modifyEnable")
    touched = ("spot",) if category == "spot" else ("linear", "inverse")
    for name in touched:
        call.account.moves_price[name] = enabled
    return Reply({})


def set_margin_mode(call: Call) -> Reply:
    """Remember a margin mode and show it from now on; margin is computed as in cross margin all the same."""
    mode = call.params.get("setMarginMode")
    if mode not in MARGIN_MODES:
        raise bad_parameter(f"setMarginMode must be one of {', '.join(MARGIN_MODES)}")
    call.account.margin_mode = str(mode)
    return Reply({"reasons": []})


def account_instruments(call: Call) -> Reply:
    """List what this account may trade: everything."""
    return instruments_info(call.exchange, call.params)


def fee_rate(call: Call) -> Reply:
    """List the fee rates of a category or symbol; without a category, those of linear."""
    category = category_of({"category": "linear", **call.params})
    rates = {"takerFeeRate": text(TAKER_FEE[category]), "makerFeeRate": text(MAKER_FEE[category])}
    if category == "option":
        bases = dict.fromkeys(item.base for item in call.exchange.instruments.of(category))
        return Reply({"category": category, "list": [{"baseCoin": base, **rates} for base in bases]})
    if call.params.get("symbol"):
        listed = [instrument_of(call.exchange.instruments, category, call.params)]
    else:
        listed = call.exchange.instruments.of(category)
    return Reply(
        {"category": category, "list": [{"symbol": item.symbol, "baseCoin": "", **rates} for item in listed]}
    )


def wallet_balance(call: Call) -> Reply:
    """Show the unified account: totals in USD, and every coin that is not empty or was asked for."""
    if call.params.get("accountType") != "UNIFIED":
        raise bad_parameter("accountType must be UNIFIED")
    asked = [coin for coin in str(call.params.get("coin", "")).split(",") if coin]
    held = asked or [coin for coin, wallet in call.account.wallets.items() if wallet.balance]
    return Reply({"list": [account_view(call.exchange, call.account, held)]})


def account_view(exchange: Exchange, account: Account, coins: Collection[str]) -> Json:
    """Show an account's totals in USD, and some of its coins."""
    market = exchange.market
    equity = account.equity(market)
    wallets = sum((wallet.balance * market.dollars(coin) for coin, wallet in account.wallets.items()), ZERO)
    position_margin = sum(
        (
            account.position_margin(item, market) * market.dollars(item.instrument.settle)
            for item in account.open_positions()
        ),
        ZERO,
    )
    initial = position_margin + account.order_margin
    return {
        "accountType": "UNIFIED",
        "accountLTV": "0",
        "accountIMRate": _shown(initial / equity) if equity else "0",
        "accountMMRate": _shown(position_margin / 2 / equity) if equity else "0",
        "totalEquity": _shown(equity),
        "totalWalletBalance": _shown(wallets),
        "totalMarginBalance": _shown(equity),
        "totalAvailableBalance": _shown(account.available(market)),
        "totalPerpUPL": _shown(equity - wallets),
        "totalInitialMargin": _shown(initial),
        "totalMaintenanceMargin": _shown(position_margin / 2),
        "coin": [_coin_view(exchange, account, coin) for coin in coins],
    }


def _coin_view(exchange: Exchange, account: Account, coin: str) -> Json:
    market = exchange.market
    wallet = account.wallets.get(coin, Wallet())
    held = [item for item in account.open_positions() if item.instrument.settle == coin]
    profit = sum((item.profit_at(market.last(item.instrument)) for item in held), ZERO)
    margin = sum((account.position_margin(item, market) for item in held), ZERO)
    orders = sum(
        (
            order.held
            for category in ("linear", "inverse", "option")
            for order in account.open[category].values()
            if order.held and order.instrument.settle == coin
        ),
        ZERO,
    )
    dollars = market.dollars(coin)
    equity = wallet.balance + profit
    return {
        "coin": coin,
        "equity": _shown(equity),
        "usdValue": _shown(equity * dollars),
        "walletBalance": _shown(wallet.balance),
        "free": "",
        "locked": _shown(wallet.locked),
        "borrowAmount": "0",
        "spotBorrow": "0",
        "availableToBorrow": "",
        "availableToWithdraw": "",
        "accruedInterest": "0",
        "totalOrderIM": _shown(orders / dollars if dollars else ZERO),
        "totalPositionIM": _shown(margin),
        "totalPositionMM": _shown(margin / 2),
        "unrealisedPnl": _shown(profit),
        "cumRealisedPnl": _shown(wallet.realised),
        "bonus": "0",
        "marginCollateral": True,
        "collateralSwitch": True,
        "spotHedgingQty": "0",
        "colRes": "",
    }


def coin_info(call: Call) -> Reply:
    """List the coins of all instruments; nothing is deposited or withdrawn here, so their chains are closed."""
    listed = [item for category in ("spot", "linear", "option") for item in call.exchange.instruments.of(category)]
    coins = dict.fromkeys(coin for item in listed for coin in (item.base, item.quote) if coin != "USD")
    asked = str(call.params.get("coin", ""))
    if asked and asked not in coins:
        raise Refusal(10001, f"coin {asked[:20]} is unknown")
    chain = {
        "chainType": "simulator", "confirmation": "1", "withdrawFee": "0", "depositMin": "0", "withdrawMin": "0",
        "chainDeposit": "0", "chainWithdraw": "0", "minAccuracy": "8", "withdrawPercentageFee": "0",
        "contractAddress": "", "safeConfirmNumber": "1",
    }  # fmt: skip
    rows = [
        {"name": coin, "coin": coin, "remainAmount": "0", "chains": [{**chain, "chain": coin}]}
        for coin in ([asked] if asked else coins)
    ]
    return Reply({"rows": rows})


def _shown(amount: Decimal) -> str:
    return text(amount.quantize(_GRAIN))
