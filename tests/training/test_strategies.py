"""Several real processes on this machine train one network together."""

import json
import signal
import socket

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
import tiny
from making import run_settings

from mnv3_tf.errors import UserError
from mnv3_tf.models import build
from mnv3_tf.training import strategies
from mnv3_tf.training.run_folder import RunFolder


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def in_cluster(ports: list[int], number: int) -> str:
    """TF_CONFIG of worker `number` of those that listen at `ports`."""
    cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
    return json.dumps({"cluster": cluster, "task": {"type": "worker", "index": number}})


@pytest.mark.slow
def test_two_workers_train_as_one_process_does_also_after_a_kill(
    start, finish, wait_for, run, train, made, tmp_path
):
    plain = "dropout=0.0"  # which each replica draws for itself
    out = str(tmp_path / "together")
    flags = ("--steps=20", "--sync_batch_norm", f"--override={plain}")
    ports = free_ports(2)
    workers = [
        start(out, *flags, "--checkpoint_every=4", TF_CONFIG=in_cluster(ports, number))
        for number in (0, 1)
    ]
    wait_for(RunFolder(out).checkpoints / "checkpoint", *workers)
    workers[1].send_signal(signal.SIGKILL)
    workers[1].wait()
    workers[0].kill()  # a cluster's manager does so to the one that waits
    workers[0].wait()
    assert not RunFolder(out).summary.exists()

    ports = free_ports(2)
    workers = [start(out, *flags, TF_CONFIG=in_cluster(ports, number)) for number in (0, 1)]
    for worker in workers:
        assert "Going on after step" in finish(worker)
    override = [*run_settings(made, run.path).override, plain]
    train(epochs=None, steps=20, sync_batch_norm=True, override=override)
    one, two = run.read_metrics(), RunFolder(out).read_metrics()
    assert [row["step"] for row in two] == [6, 12, 18, 20]
    for name in ("train_loss", "val_loss"):
        wanted = [row[name] for row in one]
        assert [row[name] for row in two] == pytest.approx(wanted, rel=1e-4), name
    assert RunFolder(out).summary.exists()


def test_a_batch_that_cannot_be_divided():
    class Three:
        num_replicas_in_sync = 3

    with pytest.raises(UserError, match=r"batch of 8 .* among 3 devices; .* multiple of 3"):
        strategies.distributed(Three(), lambda host: None, 8)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (None, "needs the addresses of the workers in TF_CONFIG"),
        ("{", "is no JSON object with a cluster"),
        ('{"cluster": {"worker": ["localhost:1"]}}', "TF_CONFIG has no task"),
        (
            '{"cluster": {"worker": ["localhost:1"]}, "task": {"type": "worker", "index": 1}}',
            "this is worker 1, but its cluster has 1 of that type",
        ),
    ],
)
def test_a_cluster_that_is_not_described(monkeypatch, config, says):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if config:
        monkeypatch.setenv("TF_CONFIG", config)
    with pytest.raises(UserError, match=says):
        strategies.make("multi_worker")


def test_here_auto_is_one_device(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    monkeypatch.delenv("TPU_NAME", raising=False)
    strategy = strategies.make("auto")
    assert strategy.num_replicas_in_sync == 1
    assert strategies.is_chief(strategy)


def test_the_last_batches_are_filled_with_pictures_that_do_not_count():
    pictures = np.arange(10, dtype=np.float32)[:, None, None, None]
    batches = tf.data.Dataset.from_tensor_slices((pictures, np.arange(10, dtype=np.int32)))
    found = list(strategies.filled(batches.batch(4), 4, 5, -1).as_numpy_iterator())
    assert [labels.tolist() for _, labels in found] == [
        [0, 1, 2, 3],
        [4, 5, 6, 7],
        [8, 9, -1, -1],
        [-1] * 4,
        [-1] * 4,
    ]
    assert found[2][0].ravel().tolist() == [8, 9, 0, 0]


@pytest.fixture(scope="module")
def model():
    return build(tiny.SHALLOW)


def test_bfloat16_computes_so_and_keeps_its_weights_in_float32(model):
    with strategies.computing_in("bfloat16"):
        narrow = build(tiny.SHALLOW)
    assert narrow.get_layer("conv").compute_dtype == "bfloat16"
    assert {v.dtype for v in narrow.variables} == {tf.float32}
    assert model.get_layer("conv").compute_dtype == "float32"
    with strategies.computing_in("auto"):
        assert tf_keras.mixed_precision.global_policy().name == "float32"


def test_synchronised_batch_norm_is_batch_norm_on_one_device(model):
    copy = strategies.with_synchronised_batch_norm(model)
    assert copy.get_layer("conv_bn").synchronized
    pictures = np.random.default_rng(0).uniform(-1, 1, (32, 32, 32, 3)).astype(np.float32)
    for training in (False, True):
        wanted, found = model(pictures, training=training), copy(pictures, training=training)
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
    for wanted, found in zip(model.get_weights(), copy.get_weights(), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_parts_of_a_batch_go_to_the_replicas():
    """With one there is one part; with two, each gets a half of every batch."""
    pictures = tf.data.Dataset.range(12)
    alone = strategies.distributed(strategies.make("one"), lambda host: pictures.batch(4), 4)
    assert next(alone.as_numpy_iterator()).tolist() == [0, 1, 2, 3]

    asked = []

    class Two:
        num_replicas_in_sync = 2

        def distribute_datasets_from_function(self, make):
            return make(tf.distribute.InputContext(2, 1, 2))

    def of_host(host):
        asked.append((host.number, host.count))
        return pictures.batch(4)

    found = strategies.distributed(Two(), of_host, 4)
    assert asked == [(1, 2)]
    assert [batch.tolist() for batch in found.as_numpy_iterator()][:2] == [[0, 1], [2, 3]]


def test_where_workers_are_described_auto_takes_them(monkeypatch):
    monkeypatch.delenv("TPU_NAME", raising=False)
    monkeypatch.setenv("TF_CONFIG", in_cluster([1, 2], 5))
    with pytest.raises(UserError, match="this is worker 5, but its cluster has 2"):
        strategies.make("auto")
