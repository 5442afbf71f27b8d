"""Measuring on this host."""

from mnv3_tf import cli

COMMANDS = {"demo": "benchmark.demo", "int8": "benchmark.int8", "latency": "benchmark.latency"}

if __name__ == "__main__":
    cli.dispatch("benchmark", COMMANDS)
