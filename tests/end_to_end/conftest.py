"""A real `farebox serve`, shared by the tests that do not stop it."""

from collections.abc import Iterator

import pytest

from farebox_processor.demo.farebox_server import FareboxServer


@pytest.fixture(scope="session")
def farebox_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FareboxServer]:
    """Serve on the embedded ClickHouse, in a process of its own."""
    server = FareboxServer(tmp_path_factory.mktemp("farebox"))
    with server.start():
        yield server
