"""200 events a second to several followers: the simulator keeps up, and every follower hears everything."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from exchange_driver import Exchange, Json, Signer
from socket_driver import Socket, socket_to

EVENTS = 400
RATE = 200
FOLLOWERS = 4


def test_followers_hear_every_execution_without_delay(exchange: Exchange, client: Signer):
    """Each of four sockets hears 400 executions of two seconds in order, the last as promptly as the first."""
    exchange.control("limits", uid=1001, endpoint="/v5/order/create", limit=10_000)
    with ExitStack() as stack, ThreadPoolExecutor(FOLLOWERS) as pool:
        sockets = [stack.enter_context(socket_to(exchange)) for _ in range(FOLLOWERS)]
        for socket in sockets:
            socket.follow("execution")
        listening = [pool.submit(listen, socket) for socket in sockets]
        begun = time.monotonic()
        for number in range(EVENTS):
            client.create(orderLinkId=f"e{number}", price="61000")
            time.sleep(max(0.0, begun + number / RATE - time.monotonic()))  # the pace that is to be kept
        heard = [future.result(timeout=120) for future in listening]
    for rows, lags in heard:
        assert [f"e{number}" for number in range(EVENTS)] == [row["orderLinkId"] for row in rows]
        assert sorted(lags[-100:])[50] < 1000, lags


def listen(socket: Socket) -> tuple[list[Json], list[float]]:
    """Return all rows, and how many ms after its creation each was heard."""
    rows: list[Json] = []
    lags: list[float] = []
    while len(rows) < EVENTS:
        message = socket.hear(60)
        rows += message["data"]
        lags += [time.time() * 1000 - message["creationTime"]] * len(message["data"])
    return rows, lags
