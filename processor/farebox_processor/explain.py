"""Spans and calls of a conversation in, its bill out: quantity x unit price = amount."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import polars as pl

from farebox_processor.frames import TOKENS, price_of

__all__ = ["Explanation", "Line", "Node", "explain"]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a bill; `amount_usd` is quantity x unit price, exactly."""

    item: str
    quantity: Decimal | None
    """Null for a line that is an amount and no product, as a discount."""
    unit_price_usd: Decimal | None
    """Null where the price is not known."""
    amount_usd: Decimal | None


@dataclass(frozen=True, slots=True)
class Node:
    """A span, what it cost and what was called below it."""

    span: dict[str, Any]
    """Name, ids, service, scope, times of the span."""
    call: dict[str, Any] | None
    """The row of `calls`, if the span may carry money."""
    lines: list[Line]
    children: list["Node"] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a conversation costs what it costs."""

    roots: list[Node]
    """One tree per trace and root, in order of start."""
    total_usd: Decimal | None
    """Sum of the lines of all billed calls; null if none of them has a price."""

    def nodes(self) -> Iterator[tuple[int, Node]]:
        """Walk the trees: depth and node, parents before children."""
        waiting = [(0, node) for node in reversed(self.roots)]
        while waiting:
            depth, node = waiting.pop()
            yield depth, node
            waiting.extend((depth + 1, child) for child in reversed(node.children))


_SPAN_FACTS = (
    "trace_id",
    "span_id",
    "parent_span_id",
    "span_name",
    "service_name",
    "scope_name",
    "started_at",
    "duration_ns",
)


def explain(spans: pl.DataFrame, calls: pl.DataFrame) -> Explanation:
    """Explain the calls (frames.CALLS) of a conversation within the tree of its spans.

    A call whose span was retired since tells of itself what its span did.
    """
    of_span = {(row["trace_id"], row["span_id"]): row for row in calls.iter_rows(named=True)}
    retired = calls.join(spans, on=["trace_id", "span_id"], how="anti")
    told = pl.concat([spans.select(_SPAN_FACTS), retired.select(_SPAN_FACTS)])
    nodes = {
        (row["trace_id"], row["span_id"]): _node(row, of_span)
        for row in told.sort("started_at", "trace_id", "span_id").iter_rows(named=True)
    }
    children: dict[tuple[str, str | None], list[Node]] = defaultdict(list)
    roots: list[Node] = []
    for (trace_id, _), node in nodes.items():
        parent = (trace_id, node.span["parent_span_id"])
        (children[parent] if parent in nodes else roots).append(node)
    roots.extend(_cut_loose(nodes, roots, children))
    for key, node in nodes.items():
        node.children.extend(children.get(key, []))
    return Explanation(roots=roots, total_usd=_total(of_span.values()))


def _cut_loose(
    nodes: dict[tuple[str, str], Node],
    roots: list[Node],
    children: dict[tuple[str, str | None], list[Node]],
) -> list[Node]:
    """Make roots of spans that no root leads to, so that a cycle hides nothing and ends."""
    reached: set[tuple[str, str]] = set()
    extra: list[Node] = []
    for node in [*roots, *nodes.values()]:
        if _key(node) in reached:
            continue
        if node not in roots:
            children[(node.span["trace_id"], node.span["parent_span_id"])].remove(node)
            extra.append(node)
        waiting = [node]
        while waiting:
            key = _key(waiting.pop())
            reached.add(key)
            waiting.extend(child for child in children.get(key, []) if _key(child) not in reached)
    return extra


def _key(node: Node) -> tuple[str, str]:
    return node.span["trace_id"], node.span["span_id"]


def _node(row: dict[str, Any], of_span: dict[tuple[str, str], dict[str, Any]]) -> Node:
    call = of_span.get((row["trace_id"], row["span_id"]))
    return Node(span=row, call=call, lines=[] if call is None else list(_lines(call)))


def _lines(call: dict[str, Any]) -> Iterator[Line]:
    """Yield what a call is billed for; the amounts sum to its cost exactly."""
    own_reasoning_price = call[price_of("reasoning_tokens")] is not None
    for name in TOKENS:
        quantity, price = call[name], call[price_of(name)]
        if name == "reasoning_tokens" and not own_reasoning_price:
            continue
        if name == "output_tokens" and own_reasoning_price and quantity is not None:
            quantity -= call["reasoning_tokens"] or 0
        if quantity:
            yield _line(name, Decimal(quantity), price)
    for unit in call["unit_prices"] or []:
        yield _line(unit["unit"], unit["quantity"], unit["price_usd"])
    if call["contract"] and call["cost_usd"] is not None and call["list_cost_usd"] is not None:
        difference = call["cost_usd"] - call["list_cost_usd"]
        yield Line(f"contract {call['contract']}", None, None, difference)


def _line(item: str, quantity: Decimal, price: Decimal | None) -> Line:
    return Line(item, quantity, price, None if price is None else quantity * price)


def _total(calls: Any) -> Decimal | None:
    billed = [call for call in calls if call["billed"]]
    known = [call["cost_usd"] for call in billed if call["cost_usd"] is not None]
    return sum(known, Decimal(0)) if known or not billed else None
