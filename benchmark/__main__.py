"""Measuring on this host."""

from mnv3_tf import cli

COMMANDS = {
    "demo": "benchmark.demo",
    "input_pipeline": "benchmark.input_pipeline",
    "int8": "benchmark.int8",
    "latency": "benchmark.latency",
    "memory": "benchmark.memory",
    "train_step": "benchmark.train_step",
}

if __name__ == "__main__":
    cli.dispatch("benchmark", COMMANDS)
