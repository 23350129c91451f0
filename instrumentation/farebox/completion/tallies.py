"""What a stream said so far goes in; what its call used comes out, estimated if it was cut."""

import json
from collections.abc import Mapping
from typing import Any, Final

from opentelemetry.trace import Span
from opentelemetry.util.types import AttributeValue

from farebox import attributes
from farebox.completion.spans import before_end, complete

__all__ = ["Tally"]

_CHARACTERS_PER_TOKEN: Final = 4
"""A rule of thumb for English text; the estimate is marked as one."""


class Tally:
    """Watches one stream for a span. Subclasses read one API's chunks."""

    asked: tuple[str, ...] = ("messages", "input", "system", "instructions", "tools")

    def __init__(self, span: Span, request: Any) -> None:
        self._span = span
        self._request = request
        self._characters = 0
        self._input_tokens: int | None = None
        self._output_tokens = 0
        self._so_far: Mapping[str, AttributeValue | None] = {}
        self._settled = False
        before_end(span, self._estimate)

    def see(self, chunk: Any) -> None:
        """Take note of a chunk as it passes."""
        raise NotImplementedError

    def _wrote(self, text: Any) -> None:
        if isinstance(text, str):
            self._characters += len(text)

    def _settle(self, found: Mapping[str, AttributeValue | None]) -> None:
        self._settled = True
        complete(self._span, found)

    def _estimate(self) -> None:
        """Say what a stream that never told its usage will have used, about."""
        if self._settled:
            return
        asked = self._input_tokens
        complete(
            self._span,
            {
                **self._so_far,
                attributes.INPUT_TOKENS: _tokens(self._asked_for()) if asked is None else asked,
                attributes.OUTPUT_TOKENS: max(self._output_tokens, _tokens(self._characters)),
                attributes.USAGE_ESTIMATED: True,
            },
        )

    def _asked_for(self) -> int:
        if not isinstance(self._request, Mapping):
            return 0
        parts = (self._request.get(part) for part in self.asked)
        return sum(len(json.dumps(part, default=str)) for part in parts if part)


def _tokens(characters: int) -> int:
    return -(-characters // _CHARACTERS_PER_TOKEN)
