"""Measuring on this host."""

from mnv3_tf.ui import cli

COMMANDS = {
    "arm": "benchmark.arm",
    "compare": "benchmark.compare",
    "demo": "benchmark.demo",
    "docs": "benchmark.docs",
    "input_pipeline": "benchmark.input_pipeline",
    "int8": "benchmark.int8",
    "latency": "benchmark.latency",
    "latency_table": "benchmark.latency_table",
    "memory": "benchmark.memory",
    "paper": "benchmark.paper",
    "profile": "benchmark.profile",
    "report": "benchmark.report",
    "search_strategies": "benchmark.search_strategies",
    "train_step": "benchmark.train_step",
}

if __name__ == "__main__":
    cli.dispatch("benchmark", COMMANDS)
