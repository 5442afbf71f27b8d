"""One file a recipe: the header gives command, cost and accuracy, `RECIPE` the numbers."""
