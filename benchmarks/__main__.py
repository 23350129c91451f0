"""`python -m benchmarks [PART ...]`: measure, and print tables."""

from typing import Annotated

import typer
from rich.console import Console

from benchmarks import live_set
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
_LIVE_SET = "live_set"


def main(
    parts: Annotated[list[str] | None, typer.Argument(help="Which ones; all if none.")] = None,
    rounds: Annotated[int, typer.Option(help="How often each is measured.", min=1)] = 7,
) -> None:
    """Measure speed as ratios within one run: of chain, costing, peer, instrumentation, live_set.

    Directional only: compare two revisions on one idle machine, in one sitting.
    """
    known = [*_PARTS, _LIVE_SET]
    for part in parts or known:
        if part not in known:
            raise typer.BadParameter(f"no part {part!r}; there are {', '.join(known)}")
        if part == _LIVE_SET:
            live_set.main()
        else:
            Console().print(*_PARTS[part](rounds))


if __name__ == "__main__":
    typer.run(main)
