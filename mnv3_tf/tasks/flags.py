"""The flags that name a network."""

from dataclasses import dataclass

from absl import flags

from mnv3_tf.networks.named import NETWORKS
from mnv3_tf.tasks import CLASSIFY, TASKS, Spec
from mnv3_tf.tasks.specs import resolve_spec
from mnv3_tf.tasks.task import Head, Resolution, parse_resolution
from mnv3_tf.ui import settings
from mnv3_tf.ui.settings import Checked, setting


@dataclass(frozen=True)
class NamedNetwork(Checked):
    """A network of any task; None is what the named one has."""

    model: str = setting(
        "large", f"A network's name ({', '.join(NETWORKS)}), or the path of a spec JSON."
    )
    width: float = setting(1.0, "Width multiplier.")
    resolution: Resolution | None = setting(  # noqa: RUF009
        None,
        "Side of the square input in pixels, or HEIGHTxWIDTH to segment.",
        read=parse_resolution,
    )
    num_classes: int | None = setting(None, "Number of classes.")
    task: str = setting(CLASSIFY.name, f"What the network is for: {', '.join(TASKS)}.")


def define_network_flags(values: flags.FlagValues, default: str = "large") -> None:
    """What `network_spec` reads."""
    settings.define(values, NamedNetwork, defaults={"model": default})
    settings.define(values, Head)


def network_spec(args: flags.FlagValues, pretrained: bool = False) -> Spec:
    """What the flags of `define_network_flags` name; `pretrained` decides --tail=auto."""
    named = settings.read(args, NamedNetwork)
    return resolve_spec(
        named.task,
        named.model,
        named.width,
        named.resolution,
        named.num_classes,
        settings.read(args, Head),
        pretrained,
    )
