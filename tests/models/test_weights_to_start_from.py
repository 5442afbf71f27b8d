"""Weights of whole networks, given as a file or as the run that wrote them."""

from dataclasses import replace

import numpy as np
import pytest
import tiny
from making import trained_run, written
from refusals import refused

from mnv3_tf.models import build, create_model, load_model
from mnv3_tf.models.create import spec_for
from mnv3_tf.tasks.specs import NamedNetwork, make_spec
from mnv3_tf.tasks.task import Head
from mnv3_tf.training.trained import load_run, load_weights


@pytest.fixture(scope="module")
def asked(made):
    """(task) -> the tiny backbone of three classes for it."""

    def named(task: str) -> NamedNetwork:
        model = str(made(written, tiny.BACKBONE) / "spec.json")
        return NamedNetwork(model, resolution=64, num_classes=3, task=task)

    return named


@pytest.mark.parametrize(("task", "tail"), [("detect", "half"), ("segment", "full")])
def test_the_tail_is_the_weights(asked, task, tail, tmp_path):
    """Also of a network of more classes than they have."""
    written_by = make_spec(replace(asked(task), num_classes=2), Head(tail), False)
    trained = build(written_by)
    (tmp_path / "run.json").touch()
    trained.save_weights(tmp_path / "best.h5")
    (tmp_path / "best.h5").rename(tmp_path / "best.weights.h5")
    for weights in (tmp_path / "best.weights.h5", tmp_path):
        spec = spec_for(asked(task), Head(), str(weights))
        assert spec == make_spec(asked(task), Head(tail), False)
    _, model = load_model(spec, str(tmp_path))
    name = "expanded_conv_3_project"
    np.testing.assert_array_equal(*(m.get_layer(name).get_weights()[0] for m in (model, trained)))
    # What is asked for in so many words is not changed.
    other = {"half": "full", "full": "half"}[tail]
    assert spec_for(asked(task), Head(other), str(tmp_path)) == make_spec(
        asked(task), Head(other), False
    )


def test_the_tail_of_a_classifier_s_weights_is_full(asked, made):
    classifier = str(made(trained_run) / "run")
    for weights, tail in ((None, "half"), ("imagenet", "full"), (classifier, "full")):
        spec = spec_for(asked("detect"), Head(), weights)
        assert spec == make_spec(asked("detect"), Head(tail), False)


def test_a_run_folder_is_its_best_weights(made, tmp_path):
    run, model = made(trained_run) / "run", str(made(trained_run) / "model.json")
    wanted = load_run(run).model.get_weights()
    spec = tiny.SHALLOW
    for found in (create_model(model, weights=str(run)), load_weights(spec, str(run)).model):
        for ours, theirs in zip(found.get_weights(), wanted, strict=True):
            np.testing.assert_array_equal(ours, theirs)
    (tmp_path / "run.json").touch()
    with refused(f"{tmp_path} holds no best.weights.h5 yet"):
        create_model(model, weights=str(tmp_path))
