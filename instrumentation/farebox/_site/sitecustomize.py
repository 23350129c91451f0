"""Instruments the program that farebox-instrument starts, before its first line runs."""

import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path

HERE = str(Path(__file__).parent)

import farebox  # noqa: E402

farebox.instrument()

# The environment may have a sitecustomize of its own, which this one stood in front of.
_elsewhere = [path for path in sys.path if path != HERE]
_spec = PathFinder.find_spec("sitecustomize", _elsewhere)
if _spec is not None and _spec.loader is not None:
    _spec.loader.exec_module(module_from_spec(_spec))
