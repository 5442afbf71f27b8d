"""The flags that name a network."""

from absl import flags

from mnv3_tf.tasks import Spec
from mnv3_tf.tasks.specs import NamedNetwork, make_spec
from mnv3_tf.tasks.task import Head
from mnv3_tf.ui import settings


def define_network_flags(values: flags.FlagValues, default: str = "large") -> None:
    """What `network_spec` reads."""
    settings.define(values, NamedNetwork, defaults={"model": default})
    settings.define(values, Head)


def network_spec(args: flags.FlagValues, pretrained: bool = False) -> Spec:
    """What the flags of `define_network_flags` name; `pretrained` decides --tail=auto."""
    return make_spec(settings.read(args, NamedNetwork), settings.read(args, Head), pretrained)
