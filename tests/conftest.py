"""Compiled programs of the tests are kept in a folder of their own, which all workers share and nobody finds later."""

from __future__ import annotations

import os
import shutil
import tempfile

import pytest

_FOLDER = "FUNCGRAD_TEST_CACHE"


def pytest_configure(config: pytest.Config) -> None:
    if _FOLDER not in os.environ:
        os.environ[_FOLDER] = os.environ["FUNCGRAD_CACHE_DIR"] = tempfile.mkdtemp(prefix="funcgrad-tests-")


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        shutil.rmtree(os.environ.get(_FOLDER, ""), ignore_errors=True)
