from datetime import UTC, datetime, timedelta

import pytest

from farebox_processor.cli.moments import read_moment
from farebox_processor.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-21", datetime(2026, 11, 21, tzinfo=UTC)),
        ("2026-11-21T10:00", datetime(2026, 11, 21, 10, tzinfo=UTC)),
        ("2026-11-21T10:00+02:00", datetime(2026, 11, 21, 8, tzinfo=UTC)),
    ],
)
def test_a_time_is_of_utc_unless_it_says_otherwise_and_is_told_in_utc(
    text: str, moment: datetime
) -> None:
    read = read_moment(text)

    assert (read, read and read.utcoffset()) == (moment, timedelta(0))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("yesterday", "is no time; write 2026-11-21"),
        ("2026-11-31", "is no time; write 2026-11-21"),
        ("", "is no time; write 2026-11-21"),
        ("\u00b2d", "is no time; write 2026-11-21"),
        ("99999999999d", "is no time; write 2026-11-21"),
        ("0001-01-01T00:00+14:00", "is no time; write 2026-11-21"),
        ("99999d", "is too far away; name a time from 1970 to 2200"),
        ("1500-01-01", "is too far away; name a time from 1970 to 2200"),
        ("9999-12-31", "is too far away; name a time from 1970 to 2200"),
    ],
)
def test_what_is_no_time_is_refused_with_how_to_write_one(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read_moment(text)
