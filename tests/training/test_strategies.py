"""Several real processes on this machine train one network together."""

import json
import signal
import socket

import numpy as np
import pytest
import tensorflow as tf

from mnv3_tf.errors import UserError
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


LONG = ("--steps=20", "--sync_batch_norm", "--override=ema_decay=0.9")


@pytest.mark.slow
def test_two_workers_train_as_one_process_does(start, finish, tmp_path):
    alone, together = str(tmp_path / "alone"), str(tmp_path / "together")
    ports = free_ports(2)
    workers = [start(together, *LONG, TF_CONFIG=in_cluster(ports, number)) for number in (0, 1)]
    for worker in workers:
        finish(worker)
    finish(start(alone, *LONG))
    one, two = RunFolder(alone).read_metrics(), RunFolder(together).read_metrics()
    assert [row["step"] for row in two] == [6, 12, 18, 20]
    for name in ("train_loss", "val_loss"):
        wanted = [row[name] for row in one]
        assert [row[name] for row in two] == pytest.approx(wanted, rel=1e-4), name
    assert RunFolder(together).summary.exists()


@pytest.mark.slow
def test_after_one_is_killed_both_go_on_from_the_last_checkpoint(start, finish, wait_for, tmp_path):
    out, ports = str(tmp_path / "run"), free_ports(2)
    flags = (*LONG, "--checkpoint_every=4")
    workers = [start(out, *flags, TF_CONFIG=in_cluster(ports, number)) for number in (0, 1)]
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
    whole = str(tmp_path / "whole")
    finish(start(whole, *LONG))
    found, wanted = RunFolder(out).read_metrics(), RunFolder(whole).read_metrics()
    assert [row["val_loss"] for row in found] == pytest.approx(
        [row["val_loss"] for row in wanted], rel=1e-4
    )


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


def test_bfloat16_computes_so_and_keeps_its_weights_in_float32(tiny_model):
    from mnv3_tf.models import build
    from mnv3_tf.networks import resolve

    with strategies.computing_in("bfloat16"):
        model = build(resolve(tiny_model, num_classes=4))
    assert model.get_layer("conv").compute_dtype == "bfloat16"
    assert {v.dtype for v in model.variables} == {tf.float32}
    plain = build(resolve(tiny_model, num_classes=4))
    assert plain.get_layer("conv").compute_dtype == "float32"


def test_synchronised_batch_norm_is_batch_norm_on_one_device(tiny_model):
    from mnv3_tf.models import build
    from mnv3_tf.networks import resolve

    model = build(resolve(tiny_model, num_classes=4))
    copy = strategies.with_synchronised_batch_norm(model)
    pictures = np.random.default_rng(0).uniform(-1, 1, (8, 32, 32, 3)).astype(np.float32)
    for training in (False, True):
        wanted, found = model(pictures, training=training), copy(pictures, training=training)
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
    for wanted, found in zip(model.get_weights(), copy.get_weights(), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
