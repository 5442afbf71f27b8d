import numpy as np
import pytest
import tensorflow as tf
import tf_keras
import tiny

from mnv3_tf.models import build
from mnv3_tf.training import losses
from mnv3_tf.training.classification import Classification, measure
from mnv3_tf.training.learner import ema_decay
from mnv3_tf.training.optimizers import phases
from mnv3_tf.training.recipe import Recipe


def test_accuracy_counts_by_rank_and_breaks_ties_as_argmax_does():
    scores = np.array([[6, 5, 4, 3, 2, 1], [6, 5, 4, 3, 2, 1], [6, 5, 4, 3, 2, 1], [1] * 6])
    batches = [(scores[:3], np.array([0, 4, 5])), (scores[3:], np.array([1]))]
    found = measure(lambda pictures: pictures, batches)
    assert (found.top1, found.top5, found.images) == (1 / 4, 3 / 4, 4)


def test_accuracy_with_fewer_than_five_classes():
    found = measure(lambda pictures: pictures, [(np.eye(3), np.array([0, 1, 0]))])
    assert (found.top1, found.top5) == (pytest.approx(2 / 3), 1.0)


SPEC = tiny.SHALLOW.replace(num_classes=4)


@pytest.fixture(scope="module")
def network():
    return build(SPEC)


def batch():
    rng = np.random.default_rng(0)
    images = tf.constant(rng.uniform(-1, 1, (8, 32, 32, 3)), tf.float32)
    return images, tf.constant(rng.integers(0, 4, 8), tf.int32)


def test_dropout_is_a_function_of_seed_and_step(network):
    def loss(seed, step):
        task = Classification(network, Recipe(1, 8, 0.1, batch_norm="frozen", dropout=0.5), seed)
        return float(task.loss(*batch(), tf.constant(step, tf.int64), head_only=False))

    assert loss(1, 5) == loss(1, 5)
    assert len({loss(1, 5), loss(1, 6), loss(2, 5)}) == 3


@pytest.fixture(scope="module")
def with_residual():
    return build(tiny.CLASSIFIER.replace(num_classes=4))


@pytest.mark.parametrize("drawn", ["drop_path", "mixup", "cutmix"])
def test_so_is_all_else_that_is_drawn(with_residual, drawn):
    def loss(step, amount=0.5):
        recipe = Recipe(1, 8, 0.1, **{drawn: amount})
        task = Classification(with_residual, recipe, 1)
        return float(task.loss(*batch(), tf.constant(step, tf.int64), head_only=False))

    assert loss(5) == loss(5)
    assert len({loss(5), loss(6), loss(5, 0.0)}) == 3


@pytest.mark.parametrize(
    ("mode", "head_only", "moves"),
    [("train", False, True), ("frozen", False, False), ("train", True, False)],
)
def test_batch_norm_statistics_move_only_where_they_are_trained(network, mode, head_only, moves):
    recipe = Recipe(1, 8, 0.1, batch_norm=mode, batch_norm_momentum=0.5)
    task = Classification(network, recipe, 0)
    mean = network.get_layer("conv_bn").moving_mean
    mean.assign(tf.zeros_like(mean))
    task.loss(*batch(), tf.constant(0, tf.int64), head_only)
    assert bool(tf.reduce_any(mean != 0)) == moves


def test_batch_norm_follows_the_momentum_of_the_recipe(network):
    task = Classification(network, Recipe(1, 8, 0.1, batch_norm_momentum=0.25), 0)
    images, labels = batch()
    norm = network.get_layer("conv_bn")
    norm.moving_mean.assign(tf.zeros_like(norm.moving_mean))
    task.loss(images, labels, tf.constant(0, tf.int64), head_only=False)
    batch_mean = tf.reduce_mean(network.get_layer("conv")(images), (0, 1, 2))
    np.testing.assert_allclose(norm.moving_mean, 0.75 * batch_mean, rtol=1e-3, atol=1e-6)


def test_frozen_batch_norm_still_trains_gamma_and_beta(network):
    task = Classification(network, Recipe(1, 8, 0.1, batch_norm="frozen"), 0)
    names = [variable.name for variable in task.body]
    assert "conv_bn/gamma:0" in names
    assert "conv_bn/beta:0" in names


def test_l2_is_half_the_square_of_the_kernels(network):
    def loss_and_gradient(l2):
        recipe = Recipe(1, 8, 0.1, batch_norm="frozen", l2=l2, decay_depthwise=False)
        task = Classification(network, recipe, 0)
        variables = [*task.body, *task.head]
        with tf.GradientTape() as tape:
            loss = task.loss(*batch(), tf.constant(0, tf.int64), head_only=False)
        return float(loss), variables, tape.gradient(loss, variables)

    loss, variables, plain = loss_and_gradient(0.0)
    penalised, _, gradients = loss_and_gradient(0.1)
    kernels = [v for v in variables if v.name.endswith("/kernel:0")]
    wanted = 0.05 * sum(float(tf.reduce_sum(v**2)) for v in kernels)
    assert penalised - loss == pytest.approx(wanted, rel=1e-4)
    assert any("depthwise_kernel" in v.name for v in variables)
    for variable, before, after in zip(variables, plain, gradients, strict=True):
        is_kernel = variable.name.endswith("/kernel:0")
        np.testing.assert_allclose(after - before, 0.1 * variable * is_kernel, atol=1e-5)


def test_averages_of_all_weights():
    network = build(SPEC)
    task = Classification(network, Recipe(1, 8, 0.1, ema_decay=0.5), 0)
    rng = np.random.default_rng(0)
    averages = network.get_weights()
    for step in range(5):
        network.set_weights([w + rng.normal(size=w.shape) for w in network.get_weights()])
        number = tf.constant(step, tf.int64)
        task.average_weights(number)
        task.average_statistics(number)
        decay = min(0.5, (1 + step) / (10 + step))
        averages = [
            decay * a + (1 - decay) * w
            for a, w in zip(averages, network.get_weights(), strict=True)
        ]
    for found, wanted in zip(task.evaluated.get_weights(), averages, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
    assert task.evaluated is not network


def test_the_decay_of_averages_rises_to_the_recipes():
    found = [float(ema_decay(0.9999, step)) for step in (0, 9, 90, 10**6)]
    assert found == pytest.approx([0.1, 10 / 19, 0.91, 0.9999])


def test_without_averages_the_model_itself_is_kept(network):
    assert Classification(network, Recipe(1, 8, 0.1), 0).evaluated is network


def test_the_loss_of_the_first_steps_is_that_of_a_reference_in_numpy(network):
    """The head on frozen features: softmax regression, smoothing, l2 and RMSProp."""
    recipe = Recipe(
        2,
        8,
        0.05,
        optimizer="rmsprop",
        epsilon=2e-3,
        l2=1e-2,
        label_smoothing=0.1,
        batch_norm="frozen",
        freeze_epochs=1,
        head_learning_rate=0.05,
    )
    task = Classification(network, recipe, 0)
    (phase, _) = phases(recipe, task.body, task.head, 5, 10)
    images, labels = batch()
    features = tf_keras.Model(network.input, network.get_layer("logits").input)(images)
    features = features.numpy().reshape(8, -1).astype(np.float64)
    kernel, bias = (v.numpy().astype(np.float64).reshape(-1, 4) for v in task.head)
    others = [v for v in task.body if v.name.endswith("kernel:0")]
    penalty = 0.5e-2 * sum(float(tf.reduce_sum(v**2)) for v in others)
    target = np.eye(4)[labels] * 0.9 + 0.1 / 4
    slots = [[np.ones_like(v), np.zeros_like(v)] for v in (kernel, bias)]
    for step in range(5):
        scores = features @ kernel + bias
        p = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
        wanted = -(target * np.log(p)).sum(1).mean() + penalty + 0.5e-2 * (kernel**2).sum()
        with tf.GradientTape() as tape:
            loss = task.loss(images, labels, tf.constant(step, tf.int64), head_only=True)
        assert float(loss) == pytest.approx(wanted, rel=1e-5)
        phase.optimizer.learning_rate = phase.learning_rate(step)
        gradients = tape.gradient(loss, task.head)
        phase.optimizer.apply_gradients(zip(gradients, task.head, strict=True))
        error = (p - target) / 8
        gradients = [features.T @ error + 1e-2 * kernel, error.sum(0, keepdims=True)]
        for variable, slot, gradient in zip((kernel, bias), slots, gradients, strict=True):
            slot[0] = 0.9 * slot[0] + 0.1 * gradient**2
            slot[1] = 0.9 * slot[1] + 0.05 * gradient / np.sqrt(slot[0] + 2e-3)
            variable -= slot[1]


@pytest.mark.parametrize("taught", [0.0, 0.5])
def test_classes_weigh_a_picture_s_loss(network, taught):
    """Whatever is smoothed or taught; a class of no weight costs nothing."""
    teacher_scores = tf.constant(np.random.default_rng(3).normal(size=(8, 4)), tf.float32)
    recipe = Recipe(
        1, 8, 0.1, batch_norm="frozen", label_smoothing=0.1, distillation=taught, temperature=2.0
    )
    task = Classification(network, recipe, 0, teacher=lambda images: teacher_scores)
    task.class_weights = [0.5, 0.0, 2.0, 1.0]
    images, labels = batch()
    labels = tf.tensor_scatter_nd_update(labels, [[7]], [-1])
    answers = network(images, training=False)
    each = losses.cross_entropy(answers, losses.soft_targets(labels, 4, 0.1)).numpy()
    each += taught * (losses.distillation(teacher_scores, answers, 2.0).numpy() - each)
    weights = np.array([0.5, 0.0, 2.0, 1.0, 0.5])[labels.numpy()]
    found = task.loss(images, labels, tf.constant(0, tf.int64), head_only=False)
    assert float(found) == pytest.approx(np.mean(weights * each), rel=1e-4)


def test_weights_are_mixed_as_pictures_are(network):
    """All of one class: a constant, whatever is mixed with what."""
    losses_of = []
    for weights in (None, [1.0, 1.0, 1.0, 3.0]):
        task = Classification(network, Recipe(1, 8, 0.1, batch_norm="frozen", mixup=0.5), 1)
        task.class_weights = weights
        images, labels = batch()[0], tf.fill((8,), 3)
        losses_of.append(float(task.loss(images, labels, tf.constant(0, tf.int64), False)))
    assert losses_of[1] == pytest.approx(3 * losses_of[0], rel=1e-5)


def test_a_teacher_takes_its_part_of_the_loss(network):
    teacher_scores = tf.constant(np.random.default_rng(3).normal(size=(8, 4)), tf.float32)

    def loss(part):
        recipe = Recipe(1, 8, 0.1, batch_norm="frozen", distillation=part, temperature=2.0)
        task = Classification(network, recipe, 0, teacher=lambda images: teacher_scores)
        return float(task.loss(*batch(), tf.constant(0, tf.int64), head_only=False))

    answers = network(batch()[0], training=False)
    taught = float(tf.reduce_mean(losses.distillation(teacher_scores, answers, 2.0)))
    assert loss(1.0) == pytest.approx(taught, rel=1e-4)
    assert loss(0.25) == pytest.approx(0.75 * loss(0.0) + 0.25 * taught, rel=1e-4)
