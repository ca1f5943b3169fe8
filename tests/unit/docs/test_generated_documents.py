"""The documents that are made from the code say what the code says."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from docs import generate
from docs.generators import metrics, pictures, settings
from sluicegate.domain.lifecycle import TABLE, Event, State


def test_documents_in_the_repository_are_fresh(capsys: pytest.CaptureFixture[str]) -> None:
    """`make check` passes: every generated document is what the code says."""
    assert 0 == generate.main(["--check"])
    assert "" == capsys.readouterr().err


@pytest.mark.parametrize("name", sorted(generate.DOCUMENTS))
def test_document_that_was_changed_by_hand_fails_the_check(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A stale document fails the check with its name and the command that mends it."""
    generate.main([], tmp_path)
    assert 0 == generate.main(["--check"], tmp_path)
    document = tmp_path / name
    document.write_text(document.read_text().replace("a", "b", 1))
    assert 1 == generate.main(["--check"], tmp_path)
    assert f"docs/{name} is not what the code says any more; run: make docs\n" == capsys.readouterr().err


def test_document_that_is_missing_fails_the_check(tmp_path: Path) -> None:
    """A folder without the documents is stale, all of them."""
    assert list(generate.DOCUMENTS) == generate.stale(tmp_path)


def test_changed_metric_makes_its_document_stale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fact that changes in the code makes exactly the document about it stale."""
    generate.main([], tmp_path)
    changed = (replace(metrics.CATALOGUE[0], meaning="Something else."), *metrics.CATALOGUE[1:])
    monkeypatch.setattr(metrics, "CATALOGUE", changed)
    assert ["metrics.md"] == generate.stale(tmp_path)


def test_changed_lifecycle_makes_its_document_stale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for the lifecycle table and the picture of it."""
    generate.main([], tmp_path)
    monkeypatch.setitem(TABLE, (State.ACCEPTED, Event.CLAIMED), State.LIVE)
    assert ["pictures/states.svg", "states.md"] == generate.stale(tmp_path)


def test_every_setting_has_a_meaning() -> None:
    """A setting without a meaning in a docstring cannot be documented."""
    assert [] == [entry.path for entry in settings.entries() if not entry.meaning]


def test_settings_document_names_the_variable_that_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables in the document are those that the settings read, nested ones included."""
    from sluicegate.config import load_settings

    documented = settings.variables()
    for variable, value in {
        "SLUICEGATE_EXCHANGE__LEASE_S": "44",
        "SLUICEGATE_ACCOUNTS__MAIN__ENVIRONMENT": "testnet",
        "SLUICEGATE_ACCOUNTS__MAIN__API_KEY_ENV": "K",
        "SLUICEGATE_ACCOUNTS__MAIN__API_SECRET_ENV": "S",
    }.items():
        assert variable.replace("__MAIN__", "__NAME__") in documented
        monkeypatch.setenv(variable, value)
    loaded = load_settings()
    assert 44 == loaded.exchange.lease_s
    assert "testnet" == loaded.account("main").environment.value


def test_picture_of_states_shows_each_usual_step_once() -> None:
    """The arrows of the picture are the table: none is missing, none is drawn twice."""
    drawn = Counter(step for route in pictures.ROUTES for step in route.steps)
    assert {step: 1 for step in TABLE if pictures.usual(*step)} == drawn
