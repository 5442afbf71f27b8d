"""The flags that name a network."""

import dataclasses

from absl import flags

from mnv3_tf.tasks.specs import Head, Spec, parse_resolution, resolve_spec


def define_network_flags(values: flags.FlagValues, default: str = "large") -> None:
    """What `network_spec` reads."""
    flags.DEFINE_string(
        "model", default, "A network's name, or the path of a spec JSON.", flag_values=values
    )
    flags.DEFINE_float("width", 1.0, "Width multiplier.", flag_values=values)
    flags.DEFINE_string(
        "resolution",
        None,
        "Side of the square input in pixels, or HEIGHTxWIDTH to segment.",
        flag_values=values,
    )
    flags.DEFINE_integer("num_classes", None, "Number of classes.", flag_values=values)
    define_task_flags(values)


def define_task_flags(values: flags.FlagValues) -> None:
    """--task, and the fields of `Head`."""
    flags.DEFINE_string("task", "classify", "classify, detect or segment.", flag_values=values)
    flags.DEFINE_string(
        "tail",
        "auto",
        "Detection and segmentation: half or full channels from C4 to C5; auto is half unless "
        "there are weights to start from.",
        flag_values=values,
    )
    flags.DEFINE_string("head", "lraspp", "Segmentation: lraspp or raspp.", flag_values=values)
    flags.DEFINE_integer(
        "head_filters", 128, "Segmentation: the head's filters.", flag_values=values
    )
    flags.DEFINE_integer("output_stride", 16, "Segmentation: 16 or 32.", flag_values=values)
    flags.DEFINE_string(
        "pooling",
        "window",
        "Segmentation: window (the paper's, large) or global.",
        flag_values=values,
    )


def network_spec(args: flags.FlagValues, pretrained: bool = False) -> Spec:
    """What the flags of `define_network_flags` name; `pretrained` decides --tail=auto."""
    return resolve_spec(
        args.task,
        args.model,
        args.width,
        parse_resolution(args.resolution),
        args.num_classes,
        head_options(args),
        pretrained,
    )


def head_options(args: flags.FlagValues) -> Head:
    return Head(**{field.name: args[field.name].value for field in dataclasses.fields(Head)})
