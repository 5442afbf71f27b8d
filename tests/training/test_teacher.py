"""What a network can be distilled from."""

import numpy as np
import pytest
import tensorflow as tf
import tiny
from making import written
from refusals import refused

from mnv3_tf.models import build
from mnv3_tf.training.classification import Classification
from mnv3_tf.training.optimizers import phases
from mnv3_tf.training.recipe import Recipe
from mnv3_tf.training.trained import load_run, load_teacher


@pytest.fixture(scope="module")
def pictures():
    return np.random.default_rng(0).uniform(-1, 1, (4, 32, 32, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def model():
    return build(tiny.SHALLOW)


def test_a_run_folder(finished, pictures):
    answers = load_teacher(str(finished.path), 3, 32)(pictures)
    np.testing.assert_allclose(answers, load_run(finished.path).model(pictures), atol=1e-5)


def test_a_saved_model(model, pictures, tmp_path):
    # Made like those of Keras, but traced once.
    call = tf.function(lambda images: model(images, training=False), autograph=False)
    signature = call.get_concrete_function(tf.TensorSpec((None, 32, 32, 3), name="images"))
    module = tf.Module()
    module.kept = model.variables
    tf.saved_model.save(module, str(tmp_path / "saved"), signatures=signature)
    answers = load_teacher(str(tmp_path / "saved"), 3, 32)(pictures)
    np.testing.assert_allclose(answers, model(pictures), atol=1e-5)


def test_a_model_and_its_weights(made, model, pictures, tmp_path):
    model.save_weights(tmp_path / "teacher.weights.h5")
    spec = made(written, tiny.SHALLOW) / "spec.json"
    answers = load_teacher(f"{spec}:{tmp_path / 'teacher.weights.h5'}", 3, 32)(pictures)
    np.testing.assert_allclose(answers, model(pictures), atol=1e-5)


def test_neither(tmp_path):
    with refused(f"--teacher={tmp_path} is neither a run folder nor a SavedModel"):
        load_teacher(str(tmp_path), 3, 32)


def test_other_classes(finished):
    with refused("answers of shape (3,), but the dataset has 5 classes"):
        load_teacher(str(finished.path), 5, 32)


def test_another_resolution(tmp_path):
    class Fixed(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3))])
        def __call__(self, images):
            return {"scores": tf.reduce_mean(images + tf.zeros((32, 32, 1)), (1, 2))}

    fixed = Fixed()
    tf.saved_model.save(fixed, str(tmp_path / "saved"), signatures=fixed.__call__)
    assert load_teacher(str(tmp_path / "saved"), 3, 32)(tf.zeros((2, 32, 32, 3))).shape == (2, 3)
    with refused("cannot read pictures of 64 x 64"):
        load_teacher(str(tmp_path / "saved"), 3, 64)


def test_it_teaches_and_is_not_taught(finished, model, pictures):
    """All of the loss from the teacher: the pupil's answers come nearer, the teacher's stay."""
    told = load_teacher(str(finished.path), 3, 32)
    before = np.asarray(told(pictures))
    recipe = Recipe(1, 4, 0.3, optimizer="sgd", schedule="constant", distillation=1.0)
    task = Classification(model, recipe, 0, told)
    (phase,) = phases(recipe, task.body, task.head, 8, 8)
    phase.optimizer.learning_rate = 0.3
    labels = tf.zeros(4, tf.int32)
    found = [
        float(phase.descend(lambda: task.loss(pictures, labels, tf.constant(0, tf.int64), False)))
        for _ in range(8)
    ]
    assert found[-1] < 0.5 * found[0]
    np.testing.assert_array_equal(before, told(pictures))
