"""Searches for networks: smaller ones from a trained one, or new ones in a space."""

from mnv3_tf.ui import cli

COMMANDS = {
    "netadapt": "mnv3_tf.search.netadapt_command",
    "nas": "mnv3_tf.search.nas_command",
    "inherit": "mnv3_tf.search.inherit_command",
}

if __name__ == "__main__":
    cli.dispatch("mnv3_tf.search", COMMANDS)
