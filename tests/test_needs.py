"""Nothing is skipped where the whole suite must run."""

import pytest
from needs import missing


def test_elsewhere_a_test_is_skipped_with_the_reason(monkeypatch):
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="needs a phone"):
        missing("needs a phone")


def test_under_ci_it_fails(monkeypatch):
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match=r"needs a phone.*CI is set"):
        missing("needs a phone")
