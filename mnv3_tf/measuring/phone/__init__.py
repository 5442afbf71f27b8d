"""A phone over adb: what it is, its state, and `benchmark_model` run and read on it."""
