"""Where trials run: in processes on this machine, or on the machines of a Ray cluster."""

import concurrent.futures
import functools
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from mnv3_tf.errors import Failure, UserError
from mnv3_tf.ui import cli

Job = TypeVar("Job")
Result = TypeVar("Result")

JOBS_PER_PROCESS = 40
"""After about so many come new processes: TensorFlow keeps memory of every network built."""


class Pool(Protocol):
    """A context manager; on leaving it, what still runs is ended."""

    size: int

    def run(
        self, function: Callable[[Job], Result], jobs: Sequence[Job]
    ) -> Iterator[tuple[Job, Result]]:
        """Each job with its result, in the order in which they are done.

        `function` and jobs are pickled. Errors of a job are raised here.
        """
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: Any) -> None: ...


def open_pool(workers: str) -> Pool:
    """ "2": so many processes; "auto": one a core; "ray", "ray:ADDRESS": a cluster.

    Raises UserError for anything else, and where Ray is not installed.
    """
    if workers == "ray" or workers.startswith("ray:"):
        return RayPool(workers.partition(":")[2] or None)
    count = os.cpu_count() or 1 if workers == "auto" else workers
    if not str(count).isdigit() or int(count) < 1:
        raise UserError(
            f"--workers={workers} is no number of processes; give one, auto, ray or ray:ADDRESS."
        )
    return ProcessPool(int(count))


class ProcessPool:
    """Processes that share the cores of this machine."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._jobs = 0
        self._executor = concurrent.futures.ProcessPoolExecutor(
            self.size,
            # A process that has begun TensorFlow cannot be forked.
            multiprocessing.get_context("spawn"),
            _begin,
            (max(1, (os.cpu_count() or 1) // self.size),),
        )

    def run(
        self, function: Callable[[Job], Result], jobs: Sequence[Job]
    ) -> Iterator[tuple[Job, Result]]:
        # Not max_tasks_per_child: where all processes end at once, none comes in their place.
        if self._jobs >= JOBS_PER_PROCESS * self.size:
            self._executor.shutdown()
            self._begin_anew()
        self._jobs += len(jobs)
        futures = {self._executor.submit(function, job): job for job in jobs}
        try:
            for future in concurrent.futures.as_completed(futures):
                yield futures[future], future.result()
        except BrokenProcessPool:
            raise Failure(
                "A process was ended from outside, perhaps for want of memory; the same command "
                f"goes on from here, with fewer --workers than {self.size} if it happens again."
            ) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Theirs are the only references; without them a trial would be waited for.
        processes = list((self._executor._processes or {}).values()) if kind else []
        self._executor.shutdown(wait=not kind, cancel_futures=True)
        for process in processes:
            process.terminate()


def _begin(threads: int) -> None:
    """In each process, before its first job."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
    os.environ["OMP_NUM_THREADS"] = str(threads)
    cli.start_tensorflow()
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)


def _end_with_parent() -> None:
    """A search that is killed outright cannot end its processes; they would wait for ever."""
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)


class RayPool:
    """The machines of a Ray cluster, which have to see the same files under the same paths."""

    def __init__(self, address: str | None) -> None:
        try:
            import ray
        except ImportError:
            raise UserError(
                "--workers=ray needs Ray, which is not installed; pip install 'mnv3_tf[ray]', or "
                "give a number of processes."
            ) from None
        self._ray = ray
        ray.init(address, ignore_reinit_error=True, log_to_driver=False)
        self.size = max(1, int(ray.cluster_resources().get("CPU", 1)))

    def run(
        self, function: Callable[[Job], Result], jobs: Sequence[Job]
    ) -> Iterator[tuple[Job, Result]]:
        remote = self._ray.remote(num_cpus=1)(_with_one_thread)
        futures = {remote.remote(function, job): job for job in jobs}
        waiting = list(futures)
        while waiting:
            (done,), waiting = self._ray.wait(waiting, num_returns=1)
            try:
                yield futures[done], self._ray.get(done)
            except self._ray.exceptions.RayTaskError as error:
                raise (error.cause or error) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        self._ray.shutdown()


def _with_one_thread(function: Callable[[Job], Result], job: Job) -> Result:
    _begin_once(1)
    return function(job)


_begin_once = functools.cache(_begin)
