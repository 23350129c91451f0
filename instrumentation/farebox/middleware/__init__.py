"""Requests and tasks go in; the code that serves each runs in the conversation it belongs to."""

from farebox.middleware.sources import Request, Source, from_cookie, from_header, from_path
from farebox.middleware.worker import worker

__all__ = ["Request", "Source", "from_cookie", "from_header", "from_path", "worker"]
