"""Measuring on phones."""

from mnv3_tf.ui import cli

COMMANDS = {
    "run": "android_bench.run",
    "devices": "android_bench.devices",
    "parse": "android_bench.parse",
    "compare": "android_bench.compare",
    "paper": "android_bench.paper",
}

if __name__ == "__main__":
    cli.dispatch("android_bench", COMMANDS)
