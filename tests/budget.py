"""A plug-in: where the time of the tests goes, and a bound on what a quick one may take.

Counted is processor time, fixtures included, but for the artefacts that many tests share.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from artefacts import STORES, processor_seconds

QUICK_S = 10.0
SHOWN = 20
KEY = "cpu_s"


def spent_on_tests(session: pytest.Session) -> float:
    return processor_seconds() - sum(store.seconds for store in session.stash.get(STORES, []))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    item.stash[_BEGAN] = spent_on_tests(item.session)
    return (yield)


_BEGAN = pytest.StashKey[float]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[Any]:
    report = yield
    now = spent_on_tests(item.session)
    spent, item.stash[_BEGAN] = now - item.stash[_BEGAN], now
    report.user_properties = [*report.user_properties, (KEY, spent)]
    return report


class Budget:
    """In the process that gathers the reports: seconds by test, and which are quick ones."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self.slow: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid] += dict(report.user_properties).get(KEY, 0.0)
        if "slow" in report.keywords:
            self.slow.add(report.nodeid)

    def over(self) -> list[str]:
        return [
            name
            for name, spent in self.seconds.most_common()
            if spent > QUICK_S and name not in self.slow
        ]

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if session.exitstatus == pytest.ExitCode.OK and self.over():
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if len(self.seconds) <= SHOWN:
            return
        terminalreporter.section(f"processor seconds, {self.seconds.total():.0f} in all")
        for name, spent in self.seconds.most_common(SHOWN):
            terminalreporter.write_line(f"{spent:7.1f}  {name}")
        for name in self.over():
            terminalreporter.write_line(
                f"{name} took {self.seconds[name]:.0f} s of processor time; a test without the "
                f"mark `slow` has {QUICK_S:.0f}.",
                red=True,
            )


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Budget(), "budget of tests")
