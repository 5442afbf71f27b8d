"""The processes of a search, which begin TensorFlow: here a stand-in that takes no seconds."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from refusals import refused

from mnv3_tf.errors import Failure, UserError
from mnv3_tf.search import pool as module
from mnv3_tf.search.pool import ProcessPool, open_pool

STAND_IN = """
class config:
    said = {}
    list_physical_devices = staticmethod(lambda: [])

    class threading:
        set_intra_op_parallelism_threads = lambda count: config.said.update(intra=count)
        set_inter_op_parallelism_threads = lambda count: config.said.update(inter=count)

def get_logger():
    import logging
    return logging.getLogger("tensorflow")
"""


@pytest.fixture(autouse=True)
def tensorflow(tmp_path, monkeypatch) -> Path:
    """In the processes that begin meanwhile; its folder."""
    folder = tmp_path / "stand_in"
    folder.mkdir()
    (folder / "tensorflow.py").write_text(STAND_IN)
    monkeypatch.syspath_prepend(folder)
    return folder


def whereabouts(job: int) -> tuple[int, dict]:
    return os.getpid(), sys.modules["tensorflow"].config.said | {
        "omp": os.environ["OMP_NUM_THREADS"]
    }


def die(job: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return job


def refuse(job: int) -> int:
    raise UserError(f"{job} is not liked.")


def test_processes_share_the_cores_and_are_replaced_after_a_while(monkeypatch):
    monkeypatch.setattr(module, "JOBS_PER_PROCESS", 2)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    with ProcessPool(2) as pool:
        _, said = dict(pool.run(whereabouts, [1]))[1]
        assert said == {"intra": 3, "inter": 3, "omp": "3"}
    with ProcessPool(1) as pool:
        ran = [{where for _, (where, _) in pool.run(whereabouts, [1, 2])} for _ in range(2)]
        assert [len(processes) for processes in ran] == [1, 1]
        assert ran[0] != ran[1]
        together = [dict(pool.run(whereabouts, [job]))[job][0] for job in (1, 2)]
        assert together[0] == together[1] not in ran[1]


def test_each_job_comes_with_its_result():
    with ProcessPool(1) as pool:
        assert sorted(pool.run(abs, [-3, 2, -1])) == [(-3, 3), (-1, 1), (2, 2)]


def test_a_killed_process_is_told():
    told = r"ended from outside.*fewer --workers than 1"
    with pytest.raises(Failure, match=told), ProcessPool(1) as pool:
        list(pool.run(die, [1]))


def test_errors_of_a_job_are_raised_here():
    with refused("7 is not liked"), ProcessPool(1) as pool:
        list(pool.run(refuse, [7]))


def test_processes_end_with_the_search(tensorflow, tmp_path):
    """Also where it is killed and cannot end them: their pipes are closed."""
    script = tmp_path / "search.py"
    script.write_text(
        "import os, signal\n"
        "from mnv3_tf.search.pool import ProcessPool\n"
        "if __name__ == '__main__':\n"
        "    with ProcessPool(1) as pool:\n"
        "        list(pool.run(abs, [-1]))\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    paths = os.pathsep.join([str(tensorflow), str(Path(__file__).parents[2])])
    done = subprocess.run(
        [sys.executable, script],
        capture_output=True,
        timeout=120,
        env=os.environ | {"PYTHONPATH": paths},
    )
    assert done.returncode == -signal.SIGKILL


@pytest.mark.parametrize("workers", ["0", "-1", "many", "1.5", ""])
def test_workers_that_are_none(workers):
    with refused(f"--workers={workers} is no number of processes"):
        open_pool(workers)


@pytest.mark.parametrize(("workers", "size"), [("3", 3), ("auto", 6)])
def test_workers_that_are_some(workers, size, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    with open_pool(workers) as pool:
        assert pool.size == size


def test_ray_that_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with refused("--workers=ray needs Ray, which is not installed"):
        open_pool("ray")
