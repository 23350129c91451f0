"""Measurements: ratios within one run on one machine. Never quoted, never part of the tests."""
