import dataclasses

import numpy as np

from mnv3_tf.networks import resolve


def test_every_layer_of_a_settled_network_is_at_work():
    import tf_keras

    from benchmark.settled import noise_pictures, settled_classifier

    pictures = noise_pictures(64, count=8)
    model = settled_classifier(resolve("small", 0.35, 64, 10), pictures)
    norms = [n for n in model.layers if isinstance(n, tf_keras.layers.BatchNormalization)]
    values = tf_keras.Model(model.inputs, [norm.output for norm in norms])(pictures)
    assert len(norms) == 34
    for norm, value in zip(norms, values, strict=True):
        spread = np.std(value.numpy(), (0, 1, 2))
        # A channel that varied little before keeps a little of BatchNorm's epsilon.
        assert 0.5 < np.median(spread) < 1.1, norm.name


def test_settled_networks_are_repeatable():
    from benchmark.settled import noise_pictures, settled_classifier

    spec = resolve("small", 0.35, 32, 10)
    pictures = noise_pictures(32, count=4)
    first, same, other = (settled_classifier(spec, pictures, seed) for seed in (0, 0, 1))
    assert np.array_equal(first(pictures), same(pictures))
    assert not np.array_equal(first(pictures), other(pictures))


def test_the_bound_differs_in_h_swish_alone():
    from benchmark.settled import with_relu6_for_hard_swish

    spec = resolve("large", 0.75, 128, 10)
    bound = with_relu6_for_hard_swish(spec)
    assert bound.stem.activation == bound.last_activation == "relu6"
    activations = [block.activation for block in bound.blocks]
    assert activations == ["relu"] * 6 + ["relu6"] * 9
    back = [
        dataclasses.replace(block, activation=before.activation)
        for block, before in zip(bound.blocks, spec.blocks, strict=True)
    ]
    assert spec == bound.replace(
        name=spec.name,
        stem=spec.stem,
        blocks=tuple(back),
        last_activation=spec.last_activation,
    )
