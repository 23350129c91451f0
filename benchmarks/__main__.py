"""`python -m benchmarks [PART ...]`: measure, and print tables."""

from typing import Annotated

import typer
from rich.console import Console

from benchmarks import conversations, live_set, repair, shapes
from benchmarks.chain import chain
from benchmarks.costing import costing
from benchmarks.instrumentation import instrumentation
from benchmarks.peer import peer

_PARTS = {
    "chain": chain,
    "costing": costing,
    "peer": peer,
    "instrumentation": instrumentation,
}
# Of a size, measured once: each prints what it finds.
_SIZES = {
    "live_set": live_set.main,
    "repair": repair.main,
    "conversations": conversations.main,
    "shapes": shapes.main,
}


def main(
    parts: Annotated[list[str] | None, typer.Argument(help="Which ones; all if none.")] = None,
    rounds: Annotated[int, typer.Option(help="How often each is measured.", min=1)] = 7,
) -> None:
    """Measure chain, costing, peer and instrumentation, as ratios within one run.

    Then, at a million spans or traces: live_set, repair, conversations, shapes.

    Directional only: compare two revisions on one idle machine, in one sitting.
    """
    known = [*_PARTS, *_SIZES]
    for part in parts or known:
        if part not in known:
            raise typer.BadParameter(f"no part {part!r}; there are {', '.join(known)}")
        if part in _SIZES:
            _SIZES[part]()
        else:
            Console().print(*_PARTS[part](rounds))


if __name__ == "__main__":
    typer.run(main)
