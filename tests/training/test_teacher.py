"""What a network can be distilled from."""

import numpy as np
import pytest
import tensorflow as tf

from mnv3_tf.errors import UserError
from mnv3_tf.models import build
from mnv3_tf.networks import resolve
from mnv3_tf.training import teacher
from mnv3_tf.training.run import train


@pytest.fixture
def pictures():
    return np.random.default_rng(0).uniform(-1, 1, (2, 32, 32, 3)).astype(np.float32)


def test_a_run_folder(settings, pictures):
    from mnv3_tf.trained import load_run

    train(settings(epochs=1))
    answers = teacher.load(settings().out, 3, 32)(pictures)
    np.testing.assert_allclose(answers, load_run(settings().out).model(pictures), atol=1e-5)


def test_a_saved_model(tiny_model, pictures, tmp_path):
    model = build(resolve(tiny_model, num_classes=3))
    tf.saved_model.save(model, str(tmp_path / "saved"))
    answers = teacher.load(str(tmp_path / "saved"), 3, 32)(pictures)
    np.testing.assert_allclose(answers, model(pictures), atol=1e-5)


def test_a_model_and_its_weights(tiny_model, pictures, tmp_path):
    model = build(resolve(tiny_model, num_classes=3))
    model.save_weights(tmp_path / "teacher.weights.h5")
    answers = teacher.load(f"{tiny_model}:{tmp_path / 'teacher.weights.h5'}", 3, 32)(pictures)
    np.testing.assert_allclose(answers, model(pictures), atol=1e-5)


def test_neither(tmp_path):
    with pytest.raises(UserError, match="is neither a run folder nor a SavedModel"):
        teacher.load(str(tmp_path), 3, 32)


def test_other_classes(settings):
    train(settings(epochs=1))
    with pytest.raises(UserError, match=r"answers of shape \(3,\), but the dataset has 5 classes"):
        teacher.load(settings().out, 5, 32)


def test_another_resolution(tmp_path):
    class Fixed(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3))])
        def __call__(self, images):
            return {"scores": tf.reduce_mean(images + tf.zeros((32, 32, 1)), (1, 2))}

    fixed = Fixed()
    tf.saved_model.save(fixed, str(tmp_path / "saved"), signatures=fixed.__call__)
    assert teacher.load(str(tmp_path / "saved"), 3, 32)(tf.zeros((2, 32, 32, 3))).shape == (2, 3)
    with pytest.raises(UserError, match=r"cannot read pictures of 64 x 64"):
        teacher.load(str(tmp_path / "saved"), 3, 64)


def test_it_teaches_and_is_not_taught(settings, tmp_path, pictures):
    """All of the loss from the teacher: the pupil's answers come nearer, the teacher's stay."""
    train(settings(out=str(tmp_path / "teacher"), epochs=3))
    before = teacher.load(str(tmp_path / "teacher"), 3, 32)(pictures)
    how = ["distillation=1.0", "ema_decay=0.0", "mixup=0.0"]
    train(settings(recipe="distill", teacher=str(tmp_path / "teacher"), epochs=4, override=how))
    after = teacher.load(str(tmp_path / "teacher"), 3, 32)(pictures)
    np.testing.assert_array_equal(before, after)
