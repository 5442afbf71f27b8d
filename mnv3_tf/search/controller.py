"""A recurrent network that learns to propose architectures (Zoph and Le 2017; Tan et al. 2019).

An LSTM makes the decisions one after another; each sees what was chosen before. Rewards of what
it proposed make those choices more likely, by REINFORCE (Williams 1992) or PPO (Schulman et al.
2017), which learns from the same rewards several times but never far.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
import tf_keras

from mnv3_tf.search.space import Architecture, Space
from mnv3_tf.search.strategies import Rewarded, rng_of

IMPOSSIBLE = -1e9
"""The logit of choices that a decision does not have."""


@dataclass(frozen=True)
class Learning:
    """The defaults are for searches of a few hundred architectures, where each one counts.

    An update is made of `batch` rewards, `passes` times over; one pass is REINFORCE. More are PPO,
    whose gain ends where the policy has changed by more than `clip`. `baseline` is the momentum
    of the moving average that rewards are compared with. The bonus for entropy falls from
    `entropy` towards `least_entropy`, half of the way every `half_life` architectures; it never
    goes, because a policy that is sure proposes nothing new.
    """

    batch: int = 8
    passes: int = 1
    clip: float = 0.2
    learning_rate: float = 0.005
    baseline: float = 0.9
    entropy: float = 0.3
    least_entropy: float = 0.1
    half_life: float = 100.0
    hidden: int = 64
    embedding: int = 16


REINFORCE = Learning()
PPO = Learning(passes=3, learning_rate=0.003, entropy=0.2, least_entropy=0.07)


class Controller:
    """A `Strategy` that learns of rewards in their order, `Learning.batch` at a time."""

    def __init__(self, space: Space, seed: int = 0, learning: Learning = REINFORCE) -> None:
        self._seed, self._learning = seed, learning
        self._counts = [len(decision.choices) for decision in space.decisions]
        self._policy = Policy(self._counts, learning, seed)
        self._rewards: list[float] = []
        self._waiting: list[Rewarded] = []
        self._baseline = 0.0

    def ask(self, count: int) -> list[Architecture]:
        noise = [self._noise(len(self._rewards) + number) for number in range(count)]
        chosen = self._policy.sample(np.array(noise, np.float32)).numpy()
        return [tuple(map(int, choices)) for choices in chosen]

    def tell(self, rewarded: Sequence[Rewarded]) -> None:
        for one in rewarded:
            self._rewards.append(one[1])
            self._waiting.append(one)
            if len(self._waiting) == self._learning.batch:
                self._learn()
                self._waiting = []

    def _noise(self, number: int) -> np.ndarray:
        """Gumbel noise: with it the largest logit is a draw from the softmax."""
        return rng_of(self._seed, number).gumbel(size=(len(self._counts), max(self._counts)))

    def _learn(self) -> None:
        learning, known = self._learning, len(self._rewards)
        rewards = np.array([reward for _, reward in self._waiting])
        momentum = learning.baseline if known > learning.batch else 0.0
        self._baseline = momentum * self._baseline + (1 - momentum) * float(rewards.mean())
        # In units of all rewards so far: those of a policy that settles grow alike, and must not
        # weigh more against the entropy for it.
        advantages = (rewards - self._baseline) / (np.std(self._rewards) + 1e-8)
        surplus = (learning.entropy - learning.least_entropy) * 0.5 ** (known / learning.half_life)
        self._policy.update(
            np.array([architecture for architecture, _ in self._waiting]),
            advantages,
            learning.least_entropy + surplus,
        )


class Policy(tf.Module):
    """The probabilities of architectures of `counts` choices for each decision."""

    def __init__(self, counts: Sequence[int], learning: Learning, seed: int) -> None:
        super().__init__()
        self._learning, steps, most = learning, len(counts), max(counts)
        rng = np.random.default_rng(seed)

        def weights(*shape: int, scale: float) -> tf.Variable:
            return tf.Variable(rng.normal(0, scale, shape).astype(np.float32))

        inputs, hidden = learning.embedding, learning.hidden
        self._start = weights(1, inputs, scale=1.0)
        self._embeddings = weights(steps, most, inputs, scale=1.0)
        self._cell = weights(inputs + hidden, 4 * hidden, scale=(inputs + hidden) ** -0.5)
        self._cell_bias = tf.Variable(tf.zeros(4 * hidden))
        # At first all choices are equally likely.
        self._heads = tf.Variable(tf.zeros((steps, hidden, most)))
        absent = np.arange(most) >= np.array(counts)[:, None]
        self._mask = tf.constant(absent * np.float32(IMPOSSIBLE))
        self._optimizer = tf_keras.optimizers.Adam(learning.learning_rate)
        self._optimizer.build(self.trainable_variables)

    @tf.function(reduce_retracing=True)
    def sample(self, noise: tf.Tensor) -> tf.Tensor:
        """Choices (N, decisions) by Gumbel noise (N, decisions, most choices)."""
        chosen, _, _ = self._unroll(noise, choose=True)
        return chosen

    def update(self, chosen: np.ndarray, advantages: np.ndarray, entropy_weight: float) -> None:
        """Makes choices (N, decisions) with advantages (N,) above 0 more likely."""
        chosen, advantages = tf.constant(chosen, tf.int32), tf.constant(advantages, tf.float32)
        before = self._log_likelihood(chosen)
        for _ in range(self._learning.passes):
            self._step(chosen, advantages, before, tf.constant(entropy_weight, tf.float32))

    @tf.function(reduce_retracing=True)
    def _log_likelihood(self, chosen: tf.Tensor) -> tf.Tensor:
        return self._unroll(chosen, choose=False)[1]

    @tf.function(reduce_retracing=True)
    def _step(
        self, chosen: tf.Tensor, advantages: tf.Tensor, before: tf.Tensor, entropy_weight: tf.Tensor
    ) -> None:
        clip = self._learning.clip
        with tf.GradientTape() as tape:
            _, likelihood, entropy = self._unroll(chosen, choose=False)
            ratio = tf.exp(likelihood - before)
            kept = tf.clip_by_value(ratio, 1 - clip, 1 + clip)
            gain = tf.minimum(ratio * advantages, kept * advantages)
            loss = -tf.reduce_mean(gain + entropy_weight * entropy)
        gradients = tape.gradient(loss, self.trainable_variables)
        self._optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))

    def _unroll(self, given: tf.Tensor, choose: bool) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Choices, their log-likelihood, and the entropy, each summed over the decisions.

        `given` is the choices, or the noise by which to `choose`.
        """
        count, steps = tf.shape(given)[0], tf.shape(given)[1]
        hidden = memory = tf.zeros((count, self._learning.hidden))
        at = tf.repeat(self._start, count, 0)
        choices = tf.TensorArray(tf.int32, steps)
        likelihood = entropy = tf.zeros(count)
        for step in tf.range(steps):
            gates = tf.concat([at, hidden], 1) @ self._cell + self._cell_bias
            enter, forget, new, leave = tf.split(gates, 4, 1)
            memory = tf.sigmoid(forget + 1.0) * memory + tf.sigmoid(enter) * tf.tanh(new)
            hidden = tf.sigmoid(leave) * tf.tanh(memory)
            logits = hidden @ self._heads[step] + self._mask[step]
            log_probability = tf.nn.log_softmax(logits)
            choice = tf.argmax(logits + given[:, step], 1, tf.int32) if choose else given[:, step]
            likelihood += tf.gather(log_probability, choice, batch_dims=1)
            entropy -= tf.reduce_sum(tf.exp(log_probability) * log_probability, 1)
            at = tf.gather(self._embeddings[step], choice)
            choices = choices.write(step, choice)
        return tf.transpose(choices.stack()), likelihood, entropy
