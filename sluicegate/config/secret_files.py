"""Secrets, read from where the settings point to."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import (
    SecretStr,
)

from sluicegate.domain.errors import ConfigurationError


def read_secret(setting: str, variable: str | None, file: Path | None) -> SecretStr:
    """Read a secret from its variable or its file.

    Args:
        setting: its name, for errors.
        variable: that holds it; None: the file does.
        file: that holds it.

    Raises:
        ConfigurationError: it is missing, empty or no single word; names the source, never shows its content.
    """
    if variable is not None:
        value = os.environ.get(variable, "").strip()
        if not value:
            raise ConfigurationError(f"{setting}_env names the variable {variable}, which is not set")
        return _one_word(f"{setting}_env: {variable}", value)
    try:
        value = (file or Path()).read_text(encoding="utf-8").strip()
    except OSError as e:
        raise ConfigurationError(f"{setting}_file: cannot read {file}: {e.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{setting}_file: {file} is no text") from None
    if not value:
        raise ConfigurationError(f"{setting}_file: {file} is empty")
    return _one_word(f"{setting}_file: {file}", value)


def _one_word(source: str, value: str) -> SecretStr:
    if not all("!" <= letter <= "~" for letter in value):
        raise ConfigurationError(f"{source} must hold one word of ASCII letters, digits and signs, nothing else")
    return SecretStr(value)
