"""What the tests of access share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fortress import Fortress, fortress


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fortress]:
    """Run the fortress once for all tests of this folder."""
    with fortress(tmp_path_factory.mktemp("fortress")) as running:
        yield running
