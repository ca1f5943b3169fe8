"""Faults on demand: what goes wrong, for which requests, how often."""

from __future__ import annotations

import itertools
import random
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from simulator.wire import Json

HTTP_FAULTS = frozenset({
    "delay", "drop_before", "drop_after", "reset", "status", "ret_code", "bad_json", "slow_visibility",
    "no_limit_headers", "reset_in_past",
})  # fmt: skip
EVENT_KINDS = ("order", "execution", "position", "wallet")
STREAM_FAULTS = frozenset({"duplicate_event", "lose_event", "reorder_events"})
_WITH_WHEN = frozenset({"delay", "reset", "status", "ret_code", "bad_json"})
_NUMBERS = {
    "delay": {"seconds", "delay_ms"},
    "drop_before": {"hang_s"},
    "drop_after": {"hang_s"},
    "reset": {"hang_s"},
    "status": {"status"},
    "ret_code": {"ret_code"},
    "slow_visibility": {"seconds"},
    "reset_in_past": {"ms"},
    "duplicate_event": {"delay_ms"},
    "reorder_events": {"delay_ms"},
}
_DEFAULTS: dict[str, Json] = {
    "reset_in_past": {"ms": 5000},
    "duplicate_event": {"delay_ms": 0},
    "reorder_events": {"delay_ms": 50},
}


class BadFault(ValueError):
    """The description of a fault is unusable; the message says how to fix it."""


@dataclass(slots=True)
class Fault:
    """One thing that goes wrong.

    Args:
        path: Glob on the path, None for any; likewise `uid` and `symbol`.
        topic: Of private events: `order`, `execution`, `position` or `wallet`, also as `order.linear`.
        remaining: How many more requests or events it hits; None for no end.
        probability: Chance that it hits a matching request or event.
        seed: Same seed, same sequence of chances, whatever other faults do; None: drawn among all that have none.
    """

    id: int
    name: str
    args: Json = field(default_factory=dict)
    path: str | None = None
    uid: int | None = None
    symbol: str | None = None
    topic: str | None = None
    remaining: int | None = None
    probability: float | None = None
    seed: int | None = None
    hits: int = 0
    rng: random.Random | None = None

    @property
    def when(self) -> str:
        """Return whether it strikes before or after the request was processed."""
        if self.name in ("drop_before", "drop_after"):
            return self.name.removeprefix("drop_")
        return str(self.args.get("when", "after" if self.name == "delay" else "before"))

    @property
    def hang_s(self) -> float:
        """Return how long the connection hangs before the fault shows."""
        if self.name == "delay":
            return float(self.args.get("seconds", 0)) + float(self.args.get("delay_ms", 0)) / 1000
        return float(self.args.get("hang_s", 0))

    def concerns(self, path: str, uid: int | None, symbols: Collection[str]) -> bool:
        """Say whether a request is among those the fault may hit."""
        return (
            self.name in HTTP_FAULTS
            and (self.path is None or fnmatchcase(path, self.path))
            and (self.uid is None or self.uid == uid)
            and (self.symbol is None or self.symbol in symbols)
        )

    def concerns_event(self, topics: Collection[str], uid: int, symbol: str) -> bool:
        """Say whether an event of the private topics is among those the fault may hit."""
        return (
            self.name in STREAM_FAULTS
            and (self.topic is None or self.topic in topics)
            and (self.uid is None or self.uid == uid)
            and (self.symbol is None or self.symbol == symbol)
        )

    def view(self) -> Json:
        """Show the fault as `/simulator/faults` does."""
        match = {"path": self.path, "uid": self.uid, "symbol": self.symbol, "topic": self.topic}
        shown: Json = {
            "id": self.id,
            "fault": self.name,
            "match": {name: value for name, value in match.items() if value is not None},
            "args": self.args,
            "hits": self.hits,
        }
        if self.remaining is not None:
            shown["count"] = self.remaining
        if self.probability is not None:
            shown["probability"] = self.probability
        if self.seed is not None:
            shown["seed"] = self.seed
        return shown


class FaultBook:
    """All faults in force."""

    def __init__(self) -> None:
        self.active: list[Fault] = []
        self._ids = itertools.count(1)
        self._random = random.Random(1)  # noqa: S311 - reproducible faults, no secret

    def add(self, description: Json) -> Fault:
        """Put a fault in force.

        Args:
            description: As posted to `/simulator/faults`.

        Raises:
            BadFault: The description is unusable.
        """
        fault = _read(description, next(self._ids))
        self.active.append(fault)
        return fault

    def clear(self) -> None:
        """Lift all faults."""
        self.active.clear()

    def strike(self, path: str, uid: int | None, symbols: Collection[str]) -> list[Fault]:
        """Return the faults that hit this request, and count them down."""
        return self._strike(fault for fault in self.active if fault.concerns(path, uid, symbols))

    def strike_event(self, topics: Collection[str], uid: int, symbol: str) -> list[Fault]:
        """Return the faults that hit this event, and count them down."""
        return self._strike(fault for fault in self.active if fault.concerns_event(topics, uid, symbol))

    def _strike(self, concerned: Iterable[Fault]) -> list[Fault]:
        hitting = []
        for fault in concerned:
            rng = fault.rng or self._random
            if fault.probability is not None and rng.random() >= fault.probability:
                continue
            if fault.remaining is not None:
                fault.remaining -= 1
            fault.hits += 1
            hitting.append(fault)
        if hitting:
            self.active = [fault for fault in self.active if fault.remaining is None or fault.remaining > 0]
        return hitting


def _read(description: Json, fault_id: int) -> Fault:
    unknown = set(description) - {"match", "fault", "args", "count", "probability", "seed"}
    if unknown:
        raise BadFault(f"unknown fields {sorted(unknown)}; use match, fault, args, count or probability, seed")
    name = description.get("fault")
    if name not in HTTP_FAULTS | STREAM_FAULTS:
        raise BadFault(f"fault must be one of {', '.join(sorted(HTTP_FAULTS | STREAM_FAULTS))}")
    args = _read_args(str(name), description.get("args") or {})
    match = description.get("match") or {}
    seed = _seed(description)
    place = "topic" if name in STREAM_FAULTS else "path"
    if not isinstance(match, dict) or set(match) - {place, "uid", "symbol"}:
        raise BadFault(f"match must be an object with {place} (for {name}), uid and symbol, each optional")
    return Fault(
        id=fault_id,
        name=str(name),
        args=args,
        path=_text(match, "path"),
        uid=_whole(match, "uid"),
        symbol=_text(match, "symbol"),
        topic=_topic(match),
        remaining=_count(description),
        probability=_probability(description),
        seed=seed,
        rng=None if seed is None else random.Random(seed),  # noqa: S311 - reproducible faults, no secret
    )


def _read_args(name: str, args: Any) -> Json:
    numbers = _NUMBERS.get(name, set())
    allowed = (
        numbers | ({"when"} if name in _WITH_WHEN else set()) | ({"ret_msg"} if name == "ret_code" else set())
    )
    if not isinstance(args, dict) or set(args) - allowed:
        raise BadFault(f"args of {name} must be an object with only {sorted(allowed) or 'nothing'}")
    for key in numbers & set(args):
        value = args[key]
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or (value < 0 and key != "ret_code"):
            raise BadFault(f"args.{key} must be a number, not negative")
    if args.get("when", "before") not in ("before", "after"):
        raise BadFault("args.when must be before or after")
    return {**_required(name, args), **args}


def _required(name: str, args: Json) -> Json:
    """Return the defaults of a fault's arguments; refuse if one without a default is missing."""
    if name == "status":
        status = args.get("status", 503)
        if not isinstance(status, int) or not 200 <= status <= 599:
            raise BadFault("args.status must be an HTTP status from 200 to 599")
        return {"status": 503}
    if name == "ret_code" and not isinstance(args.get("ret_code"), int):
        raise BadFault('ret_code needs args like {"ret_code": 10016, "when": "before"}')
    if name == "delay" and not {"seconds", "delay_ms"} & set(args):
        raise BadFault('delay needs args like {"seconds": 2} or {"delay_ms": 250}')
    if name == "slow_visibility" and "seconds" not in args:
        raise BadFault('slow_visibility needs args like {"seconds": 2}')
    return dict(_DEFAULTS.get(name, {}))


def _text(match: Json, name: str) -> str | None:
    value = match.get(name)
    if value is not None and not isinstance(value, str):
        raise BadFault(f"match.{name} must be a string")
    return value


def _topic(match: Json) -> str | None:
    topic = _text(match, "topic")
    if topic is not None and topic.partition(".")[0] not in EVENT_KINDS:
        raise BadFault(
            f"match.topic must be one of {', '.join(EVENT_KINDS)}, or one with its category: order.linear"
        )
    return topic


def _whole(match: Json, name: str) -> int | None:
    value = match.get(name)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise BadFault(f"match.{name} must be a whole number such as 1001")
    return value


def _count(description: Json) -> int | None:
    count = description.get("count")
    if count is None:
        return None
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise BadFault("count must be a whole number from 1")
    if description.get("probability") is not None:
        raise BadFault("give count or probability, not both")
    return count


def _probability(description: Json) -> float | None:
    probability = description.get("probability")
    if probability is None:
        return None
    if isinstance(probability, bool) or not isinstance(probability, int | float) or not 0 < probability <= 1:
        raise BadFault("probability must be a number above 0, at most 1")
    return float(probability)


def _seed(description: Json) -> int | None:
    seed = description.get("seed")
    if seed is None:
        return None
    if type(seed) is not int or description.get("probability") is None:
        raise BadFault("seed must be a whole number, and goes with a probability")
    return seed
