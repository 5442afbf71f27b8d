"""A quick test that takes too long fails the run by its name; the slowest are listed."""

import budget
import pytest

BURNING = """
import time, pytest

def burn(seconds):
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass

@pytest.fixture
def prepared():
    burn(0.2)

def test_of_{name}({fixture}):
    burn({seconds})

{more}
"""


@pytest.fixture
def run(pytester, monkeypatch):
    def make(name, seconds, fixture="", more="", mark=""):
        text = BURNING.format(name=name, seconds=seconds, fixture=fixture, more=more)
        pytester.makepyfile(text.replace("def test_of", f"{mark}\ndef test_of"))
        pytester.makeini("[pytest]\nmarkers = slow")
        monkeypatch.setattr(budget, "QUICK_S", 0.1)
        monkeypatch.setattr(budget, "SHOWN", 1)
        return pytester.runpytest_inprocess("-p", "budget", "-p", "no:cacheprovider")

    return make


OTHERS = "def test_another(): pass\n\ndef test_a_third(): pass"


def test_one_that_is_within_it_passes(run):
    assert run("little", 0.0).ret == pytest.ExitCode.OK


@pytest.mark.parametrize(("seconds", "fixture"), [(0.2, ""), (0.0, "prepared")])
def test_one_beyond_it_fails_the_run_by_its_name(run, seconds, fixture):
    found = run("much", seconds, fixture, OTHERS)
    assert found.ret == pytest.ExitCode.TESTS_FAILED
    found.stdout.fnmatch_lines(["*::test_of_much took 0 s of processor time; a test without*"])
    assert found.parseoutcomes()["passed"] == 3


def test_a_slow_one_may_take_longer(run):
    assert run("much", 0.2, mark="@pytest.mark.slow").ret == pytest.ExitCode.OK


def test_the_slowest_are_listed(run):
    found = run("much", 0.2, more=OTHERS, mark="@pytest.mark.slow")
    (row,) = (line for line in found.stdout.lines if "::test_" in line)
    seconds, name = row.split()
    assert name.endswith("::test_of_much")
    assert 0.1 <= float(seconds) < 1
