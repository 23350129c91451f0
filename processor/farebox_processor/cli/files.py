"""OTLP files in, export requests or priced spans out."""

import gzip
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from farebox_processor.errors import BadRequestError, RequestTooLargeError
from farebox_processor.otlp_json import to_protobuf
from farebox_processor.pipeline import Rules, cost_requests

__all__ = ["OtlpRequest", "price_files", "read_requests"]


@dataclass(frozen=True, slots=True)
class OtlpRequest:
    """An export request out of a file."""

    where: str
    """The file, and the line of a .jsonl."""
    body: bytes
    """A serialised ExportTraceServiceRequest."""


_KINDS = (".pb", ".json", ".jsonl")


def read_requests(paths: Sequence[Path]) -> Iterator[OtlpRequest]:
    """Read export requests from .pb, .json and .jsonl files, .gz of these, and folders of them.

    Raises BadRequestError that names the file, and the line of a .jsonl.
    """
    for path in paths:
        for file in _files_of(path):
            yield from _read_file(file)


def price_files(paths: Sequence[Path], rules: Rules, tenant: str) -> pl.DataFrame:
    """Price the spans of files (frames.PRICED_SPANS).

    Raises BadRequestError or RequestTooLargeError that names the file that cannot be read.
    """
    requests = list(read_requests(paths))
    costed = cost_requests([each.body for each in requests], [tenant] * len(requests), rules)
    for request, refusal in costed.decoded.refusals.items():
        raise type(refusal)(f"{requests[request].where}: {refusal}")
    return costed.priced


def _files_of(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(file for file in path.rglob("*") if _kind(file) in _KINDS)
    if not files:
        raise BadRequestError(f"{path}: no OTLP file in this folder; looked for {_wanted()}")
    return files


def _read_file(path: Path) -> Iterator[OtlpRequest]:
    kind = _kind(path)
    if kind not in _KINDS:
        raise BadRequestError(f"{path}: cannot tell what this is by its name; use {_wanted()}")
    try:
        content = path.read_bytes()
        content = gzip.decompress(content) if path.suffix == ".gz" else content
    except (OSError, EOFError, zlib.error) as error:
        raise BadRequestError(f"{path}: cannot be read: {error}") from error
    if kind == ".pb":
        yield OtlpRequest(str(path), content)
    elif kind == ".json":
        yield _from_json(content, str(path))
    else:
        for number, line in enumerate(content.splitlines(), start=1):
            if line.strip():
                yield _from_json(line, f"{path}, line {number}")


def _from_json(text: bytes, where: str) -> OtlpRequest:
    if b"resourceSpans" not in text and b"resource_spans" not in text:
        raise BadRequestError(f"{where}: this is no OTLP/JSON of traces: it has no resourceSpans")
    try:
        return OtlpRequest(where, to_protobuf(text))
    except (BadRequestError, RequestTooLargeError) as error:
        raise type(error)(f"{where}: {error}") from error


def _kind(path: Path) -> str:
    return Path(path.stem).suffix if path.suffix == ".gz" else path.suffix


def _wanted() -> str:
    return ", ".join(_KINDS) + " or .gz of these"
