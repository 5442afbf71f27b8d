"""What a test needs and a machine may lack."""

import os
from typing import NoReturn

import pytest


def missing(what: str) -> NoReturn:
    """Skips the test for want of something; under CI, where nothing may be missing, it fails."""
    if os.environ.get("CI"):
        pytest.fail(f"{what} (which may be missing elsewhere, but CI is set)")
    pytest.skip(what)
