"""Prometheus and Alertmanager, real ones: those of this machine."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
DEBIAN_NAMES = {"alertmanager": "prometheus-alertmanager"}


def binary(name: str) -> str:
    """Return the path of a program; without it a test fails in CI, and is skipped elsewhere.

    Args:
        name: `prometheus`, `promtool`, `alertmanager` or `amtool`.
    """
    for known_as in (DEBIAN_NAMES.get(name, name), name):
        found = shutil.which(known_as)
        if found:
            return found
    missing = f"{name} is not here; `make monitoring` installs Debian's"
    if os.environ.get("CI") == "true":
        pytest.fail(missing)
    pytest.skip(missing)


def alertmanager_config(secrets: Path) -> str:
    """Return ops/alertmanager/alertmanager.yml with the URLs in place of their files.

    Debian's Alertmanager, 0.25, does not know `url_file` yet, which the one of docker-compose.yml does.

    Args:
        secrets: the folder that is `/run/secrets` in a container.
    """
    config = yaml.safe_load((ROOT / "ops/alertmanager/alertmanager.yml").read_text())
    for receiver in config["receivers"]:
        for webhook in receiver["webhook_configs"]:
            webhook["url"] = (secrets / Path(webhook.pop("url_file")).name).read_text().strip()
    return yaml.safe_dump(config)
