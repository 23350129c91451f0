"""An explanation in, a tree for people or an object for programs out."""

from decimal import Decimal
from typing import Any

from rich.tree import Tree

from farebox_processor.cli.console import STATUS_STYLE, as_sent
from farebox_processor.explain import Explanation, Line, Node
from farebox_processor.report import decimal_text

__all__ = ["bill_object", "bill_tree"]


def bill_tree(title: str, explanation: Explanation) -> Tree:
    """Draw the spans of a conversation with what each call cost, line by line, and the total."""
    tree = Tree(title)
    branches: dict[int, Tree] = {0: tree}
    for depth, node in explanation.nodes():
        branch = branches[depth].add(_headline(node))
        rejected = node.call is not None and node.call["rejected_as"] is not None
        for line in node.lines:
            branch.add(_line_text(line), style="dim" if rejected else "")
        branches[depth + 1] = branch
    tree.add(f"[bold]total {_exact(explanation.total_usd)}[/bold]")
    return tree


def _headline(node: Node) -> str:
    name = as_sent(node.span["span_name"])
    call = node.call
    if call is None:
        return f"[dim]{name}[/dim]"
    if call["rejected_as"] is not None:
        return (
            f"[dim]{name} · {call['rejected_as']} · claims {_exact(call['cost_usd'])},"
            f" billed instead: span {call['billed_instead']}[/dim]"
        )
    facts = [f"[bold]{name}[/bold]", as_sent(str(call["model"] or call["tool_name"] or ""))]
    if (call["attempt"] or 1) > 1:
        origin = (
            f", fallback from {as_sent(call['fallback_from'])}" if call["fallback_from"] else ""
        )
        facts.append(f"attempt {call['attempt']}{origin}")
    facts += [f"[bold]{_exact(call['cost_usd'])}[/bold]", _verdict(call)]
    if call["price_source"]:
        facts.append(f"[dim]{as_sent(call['price_source'])}[/dim]")
    return " · ".join(fact for fact in facts if fact)


def _verdict(call: dict[str, Any]) -> str:
    status = call["cost_status"]
    text = status if call["cost_reason"] is None else f"{status}: {call['cost_reason']}"
    if status not in ("exact", "supplied"):
        high = "…" if call["cost_high_usd"] is None else _exact(call["cost_high_usd"])
        text += f" [{_exact(call['cost_low_usd'])} to {high}]"
    return f"[{STATUS_STYLE[status]}]{as_sent(text)}[/]"


def _line_text(line: Line) -> str:
    if line.quantity is None:
        return f"{as_sent(line.item)} = {_exact(line.amount_usd)}"
    quantity = f"{line.quantity.normalize():,f}"
    if line.unit_price_usd is None:
        return f"{as_sent(line.item)} {quantity} × no price"
    if line.item.endswith("_tokens"):
        price = f"${decimal_text(line.unit_price_usd * 1_000_000)}/M"
    else:
        price = f"${decimal_text(line.unit_price_usd)}"
    return f"{as_sent(line.item)} {quantity} × {price} = {_exact(line.amount_usd)}"


def _exact(amount: Decimal | None) -> str:
    """Write dollars with all their digits, so that the lines of a bill add up as they are read."""
    if amount is None:
        return "unknown"
    return f"-${decimal_text(-amount)}" if amount < 0 else f"${decimal_text(amount)}"


def bill_object(explanation: Explanation) -> dict[str, Any]:
    """Return the same as an object: a flat list of spans, each with depth, call and lines."""
    return {
        "total_usd": decimal_text(explanation.total_usd),
        "spans": [
            {
                "depth": depth,
                **node.span,
                "call": None if node.call is None else _call_object(node.call),
                "lines": [
                    {
                        "item": line.item,
                        "quantity": decimal_text(line.quantity),
                        "unit_price_usd": decimal_text(line.unit_price_usd),
                        "amount_usd": decimal_text(line.amount_usd),
                    }
                    for line in node.lines
                ],
            }
            for depth, node in explanation.nodes()
        ],
    }


def _call_object(call: dict[str, Any]) -> dict[str, Any]:
    names = (
        "billed",
        "rejected_as",
        "billed_instead_trace_id",
        "billed_instead",
        "attempt",
        "retry_of",
        "fallback_from",
        "turn",
        "provider",
        "model",
        "cost_usd",
        "cost_low_usd",
        "cost_high_usd",
        "cost_status",
        "cost_reason",
        "price_source",
        "contract",
        "usage_reading",
        "usage_rule",
        "blind_to",
    )
    return {name: call[name] for name in names}
