import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from farebox_processor.frames import REJECTIONS
from farebox_processor.store.dead_letters import SAMPLE_BYTES, of_rejections, redact
from farebox_processor.store.tables import DEAD_LETTERS


def test_a_sample_keeps_the_keys_of_attributes_and_masks_what_people_wrote() -> None:
    sample = b"\x0a\x15gen_ai.input.messages\x12\x0bmy password\x08\x01"

    assert redact(sample) == b"\x0a\x15gen_ai.input.messages\x12\x0b***********\x08\x01"


@given(st.binary(max_size=6000))
def test_a_sample_is_short_and_as_long_as_what_it_is_of(sample: bytes) -> None:
    assert len(redact(sample)) == min(len(sample), SAMPLE_BYTES)


@given(st.text(alphabet="abcXYZ 0123456789é", min_size=1, max_size=30))
def test_no_word_of_a_sample_can_be_read(words: str) -> None:
    redacted = redact(words.encode())

    assert set(redacted) == {ord("*")}


def test_a_rejection_of_the_decoder_becomes_a_dead_letter() -> None:
    rejection = {
        "request": 0,
        "tenant": "acme",
        "reason": "invalid_trace_id",
        "spans": 1,
        "detail": "15 bytes",
        "sample": b"hello",
    }

    letters = of_rejections(pl.DataFrame([rejection], schema=REJECTIONS))

    assert letters.to_dicts() == [
        {
            "tenant": "acme",
            "reason": "invalid_trace_id",
            "refused_by": "",
            "trace_id": "",
            "span_id": "",
            "detail": "15 bytes",
            "sample": b"*****",
        }
    ]
    assert letters.schema == pl.Schema(DEAD_LETTERS)
