"""A dataset and a recipe become a run folder.

`run.train(TrainSettings(...))` is the whole of it. The order of reading: `settings`, `recipe` and
`recipes/`, `run` (what is trained on what), `loop` (how), `checkpoints`, `run_folder`.
"""
