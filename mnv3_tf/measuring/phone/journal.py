"""What has been measured, a line for each run."""

from typing import Any

from mnv3_tf import journal


class Journal(journal.Journal):
    """The journal of a measurement, whose entries have a key and a round."""

    def of(self, key: str, round: int | None = None) -> list[dict[str, Any]]:
        """The entries of a configuration, and of one of its rounds."""
        return [
            entry
            for entry in self.entries()
            if entry["key"] == key and round in (None, entry["round"])
        ]
