"""The next version, as far as its search index is another one: `python -m support.newer_version`.

Everything is this version's code; only the number of the schema differs, and so the names of
indices, aliases and the group of consumers that fills them.
"""

from __future__ import annotations

import sys
from pathlib import Path

from isocenter.adapters.index.elasticsearch import schema
from isocenter.cli import main
from support.harness import Isocenter

SCHEMA = schema.SCHEMA + 1


class Newer(Isocenter):
    """An installation of the next version."""

    def _command(self, *verb: str, **extra: object) -> list[str]:
        command = super()._command(*verb, **extra)
        place = command.index("isocenter")
        environment = f"PYTHONPATH={Path(__file__).parents[1]}"
        module = [*command[:place], "support.newer_version", *command[place + 1 :]]
        return ["env", environment, *module]


if __name__ == "__main__":
    schema.SCHEMA = SCHEMA
    sys.exit(main())
