"""One file a recipe: the header gives command, cost and accuracy, `RECIPE` the numbers."""

import pkgutil


def names() -> list[str]:
    """The recipes there are."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))
