"""The peer of the stream: a `websockets` client that writes each message's rows down. It never fills a gap.

`python -m benchmarks.bare_stream URL DATABASE`
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import sqlite3
import sys
import time

from websockets.asyncio.client import connect

KEY, SECRET = "sim-key-1", b"sim-secret-1"


def open_database(path: str) -> sqlite3.Connection:
    """Open the file as Sluicegate's ledger is opened."""
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    database.execute("CREATE TABLE IF NOT EXISTS orders (order_id TEXT PRIMARY KEY, row TEXT)")
    database.execute("CREATE TABLE IF NOT EXISTS executions (exec_id TEXT PRIMARY KEY, row TEXT)")
    return database


async def follow(url: str, path: str) -> None:
    """Subscribe to orders and executions and write them down, one transaction a message."""
    database = open_database(path)
    async with connect(url, proxy=None) as connection:
        expires = int(time.time() * 1000) + 10_000
        signature = hmac.new(SECRET, f"GET/realtime{expires}".encode(), hashlib.sha256).hexdigest()
        await connection.send(json.dumps({"op": "auth", "args": [KEY, expires, signature]}))
        await connection.send(json.dumps({"op": "subscribe", "args": ["order", "execution"]}))
        async for text in connection:
            message = json.loads(text)
            if message.get("op") == "subscribe":
                print("ready", flush=True)
            topic, rows = message.get("topic"), message.get("data", [])
            database.execute("BEGIN")
            if topic == "order":
                pairs = [(row["orderId"], json.dumps(row)) for row in rows]
                database.executemany("INSERT OR REPLACE INTO orders VALUES (?, ?)", pairs)
            elif topic == "execution":
                pairs = [(row["execId"], json.dumps(row)) for row in rows]
                database.executemany("INSERT OR IGNORE INTO executions VALUES (?, ?)", pairs)
            database.execute("COMMIT")


if __name__ == "__main__":
    asyncio.run(follow(*sys.argv[1:]))
