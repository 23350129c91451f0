"""A conversation reaches every span of its code, wherever that code runs, and no other span."""

import asyncio
import contextvars
import gc
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry import context

import farebox
from farebox import attributes
from farebox.blocks import _LEFT_ELSEWHERE
from farebox.threads import follow_executors, leave_executors
from support.held import held_here

_ID = attributes.CONVERSATION_ID


def test_a_span_says_everything_that_is_known_of_its_conversation(emitted: Any) -> None:
    with farebox.conversation(
        "c1",
        user="u1",
        tenant="acme",
        user_tier="gold",
        feature="support",
        action="ticket_resolution",
        type="billing",
        campaign="spring",
    ):
        emitted.tracer.start_span("answer").end()

    assert emitted.only() == {
        "gen_ai.conversation.id": "c1",
        "user.id": "u1",
        "farebox.tenant.id": "acme",
        "farebox.user.tier": "gold",
        "farebox.feature": "support",
        "farebox.action": "ticket_resolution",
        "farebox.conversation.type": "billing",
        "farebox.extra.campaign": "spring",
    }


def test_no_id_is_invented_for_code_outside_of_any_conversation(emitted: Any) -> None:
    emitted.tracer.start_span("outside").end()
    with farebox.conversation(feature="search"):
        emitted.tracer.start_span("nameless").end()

    assert emitted.values(_ID) == {"outside": None, "nameless": None}
    assert farebox.current_conversation() is None


def test_a_block_inside_keeps_what_it_does_not_say_itself(emitted: Any) -> None:
    with farebox.conversation("c1", user="u1", feature="chat"), farebox.conversation(feature="rag"):
        inner = farebox.current_conversation()
    with farebox.conversation("c1"), farebox.turn("t1"), farebox.conversation("c2"):
        other = farebox.current_conversation()

    assert inner == farebox.Conversation(id="c1", user="u1", feature="rag")
    assert other == farebox.Conversation(id="c2")


def test_each_turn_has_an_id_of_its_own_unless_one_is_given(emitted: Any) -> None:
    with farebox.conversation("c1"):
        for name in ("first", "second"):
            with farebox.turn():
                emitted.tracer.start_span(name).end()
        with farebox.turn("t3"):
            emitted.tracer.start_span("third").end()
        emitted.tracer.start_span("between").end()

    turns = emitted.values(attributes.TURN_ID)
    assert (turns["third"], turns["between"]) == ("t3", None)
    assert len({turns["first"], turns["second"], "t3"}) == 3


def test_an_exception_leaves_the_block_as_it_was_raised(emitted: Any) -> None:
    raised = ValueError("the service's own")

    with pytest.raises(ValueError, match="own") as caught, farebox.conversation("c1"):
        raise raised

    assert caught.value is raised
    assert farebox.current_conversation() is None


def test_every_call_of_a_decorated_function_is_in_its_conversation(emitted: Any) -> None:
    @farebox.conversation(lambda order, **_: order["id"], feature="orders")
    def handle(order: dict[str, str]) -> str:
        emitted.tracer.start_span(order["id"]).end()
        return order["id"].upper()

    assert [handle({"id": "o1"}), handle({"id": "o2"})] == ["O1", "O2"]
    assert handle.__name__ == "handle"
    assert emitted.values(_ID) == {"o1": "o1", "o2": "o2"}


def test_a_decorated_coroutine_and_a_decorated_stream_stay_what_they_are(emitted: Any) -> None:
    @farebox.conversation("coroutine")
    async def answer() -> str:
        emitted.tracer.start_span("in coroutine").end()
        return "answer"

    @farebox.conversation("stream")
    async def stream() -> AsyncIterator[int]:
        for number in range(2):
            emitted.tracer.start_span(f"in stream {number}").end()
            yield number

    async def main() -> tuple[str, list[int]]:
        async with farebox.conversation("around"):
            numbers = [number async for number in stream()]
            emitted.tracer.start_span("around").end()
        return await answer(), numbers

    assert asyncio.run(main()) == ("answer", [0, 1])
    assert emitted.values(_ID) == {
        "in stream 0": "stream",
        "in stream 1": "stream",
        "around": "around",
        "in coroutine": "coroutine",
    }


def test_a_coroutine_that_a_plain_function_returns_is_in_its_conversation() -> None:
    async def answer() -> str | None:
        await asyncio.sleep(0)
        held = farebox.current_conversation()
        return held.id if held else None

    class Answerer:
        async def __call__(self) -> str | None:
            return await answer()

    decorated = farebox.conversation("c1")(Answerer())

    assert asyncio.run(decorated()) == "c1"
    assert farebox.current_conversation() is None


def test_a_decorated_generator_takes_and_gives_what_the_bare_one_does() -> None:
    @farebox.conversation("c1")
    def echo() -> Iterator[str]:
        heard = yield "ready"
        try:
            heard = yield f"heard {heard}"
        except KeyError as error:
            yield f"caught {error}"
        return "done"

    steps = echo()
    assert [next(steps), steps.send("hello"), steps.throw(KeyError("x"))] == [
        "ready",
        "heard hello",
        "caught 'x'",
    ]
    with pytest.raises(StopIteration) as ended:
        next(steps)
    assert ended.value.value == "done"


def test_tasks_gathered_or_grouped_are_in_the_conversation_they_were_made_in(emitted: Any) -> None:
    async def work(name: str) -> None:
        await asyncio.sleep(0)
        emitted.tracer.start_span(name).end()

    async def main() -> None:
        with farebox.conversation("gathered"):
            await asyncio.gather(work("a"), work("b"))
        with farebox.conversation("grouped"):
            async with asyncio.TaskGroup() as group:
                group.create_task(work("c"))
                group.create_task(work("d"))

    asyncio.run(main())

    assert emitted.values(_ID) == {
        "a": "gathered",
        "b": "gathered",
        "c": "grouped",
        "d": "grouped",
    }


def test_work_given_to_an_executor_is_in_the_conversation_of_who_gave_it(emitted: Any) -> None:
    follow_executors()

    def work(name: str) -> str:
        emitted.tracer.start_span(name).end()
        return name

    async def main(pool: ThreadPoolExecutor) -> None:
        with farebox.conversation("from a task"):
            await asyncio.get_running_loop().run_in_executor(pool, work, "c")
            await asyncio.to_thread(work, "d")

    with ThreadPoolExecutor(max_workers=1) as pool:
        with farebox.conversation("submitted"):
            assert pool.submit(work, "a").result() == "a"
        assert pool.submit(work, "outside").result() == "outside"
        with farebox.conversation("mapped"):
            assert list(pool.map(work, ["b"])) == ["b"]
        asyncio.run(main(pool))

    assert emitted.values(_ID) == {
        "a": "submitted",
        "outside": None,
        "b": "mapped",
        "c": "from a task",
        "d": "from a task",
    }


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of forking where threads run
def test_work_of_a_shared_pool_of_processes_is_in_the_conversation_of_who_gave_it(
    emitted: Any, method: str
) -> None:
    follow_executors()
    try:
        with ProcessPoolExecutor(1, mp_context=get_context(method)) as pool:
            for name in ("c1", "c2"):
                with (
                    farebox.conversation(name, user=f"of {name}"),
                    emitted.tracer.start_as_current_span("request") as span,
                ):
                    expected = (name, f"of {name}", span.get_span_context().trace_id)
                    assert pool.submit(held_here).result() == expected
                    assert list(pool.map(str, [1, 2])) == ["1", "2"]
            assert pool.submit(held_here).result() == (None, None, 0)
    finally:
        leave_executors()


def test_work_that_could_be_iterated_over_is_called_by_an_executor() -> None:
    class Work(Iterator[int]):
        def __next__(self) -> int:
            raise StopIteration

        def __call__(self) -> str | None:
            held = farebox.current_conversation()
            return held.id if held else None

    follow_executors()
    try:
        with ThreadPoolExecutor() as pool, farebox.conversation("c1"):
            assert pool.submit(Work()).result() == "c1"
    finally:
        leave_executors()


def test_a_carried_generator_read_after_its_block_is_still_in_its_conversation(
    emitted: Any,
) -> None:
    def words() -> Iterator[str]:
        with emitted.tracer.start_as_current_span("around"):
            yield "a"
            emitted.tracer.start_span("inside").end()
            yield "b"

    with farebox.conversation("c1"):
        carried = farebox.carry(words())

    with farebox.conversation("c2"):
        assert list(carried) == ["a", "b"]
        emitted.tracer.start_span("reader").end()

    inside, around, _ = emitted.spans
    assert emitted.values(_ID) == {"inside": "c1", "around": "c1", "reader": "c2"}
    assert inside.parent == around.context


def test_a_carried_generator_that_nobody_reads_to_its_end_closes_in_its_conversation() -> None:
    held_at_end = []

    def words() -> Iterator[str]:
        try:
            yield "a"
        finally:
            held_at_end.append(_held())

    with farebox.conversation("c1"):
        carried = farebox.carry(words())
    assert next(carried) == "a"
    del carried

    assert held_at_end == ["c1"]


def test_a_generator_that_another_decorator_hides_is_in_its_conversation() -> None:
    def hiding(function: Any) -> Any:
        def call() -> Any:
            return function()

        return call

    @farebox.conversation("generator")
    @hiding
    def words() -> Iterator[str | None]:
        yield _held()

    @farebox.conversation("async generator")
    @hiding
    async def async_words() -> AsyncIterator[str | None]:
        yield _held()

    async def read() -> list[str | None]:
        return [held async for held in async_words()]

    assert (list(words()), asyncio.run(read())) == (["generator"], ["async generator"])


def test_a_carried_callback_runs_in_its_conversation_in_any_thread(emitted: Any) -> None:
    with farebox.conversation("c1"):
        callback = farebox.carry(lambda: emitted.tracer.start_span("callback").end())

    contextvars.Context().run(callback)

    assert emitted.values(_ID) == {"callback": "c1"}


def test_a_block_closed_by_another_task_leaves_that_task_alone_and_says_so(
    emitted: Any, caplog: pytest.LogCaptureFixture
) -> None:
    block = farebox.conversation("c1")
    contextvars.copy_context().run(block.__enter__)

    with farebox.conversation("c2"):
        block.__exit__(None, None, None)
        held = farebox.current_conversation()

    assert held == farebox.Conversation(id="c2")
    assert [record.message for record in caplog.records] == [_LEFT_ELSEWHERE]


def test_generators_that_leave_blocks_crosswise_leave_their_reader_in_none_and_say_so_once(
    emitted: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def converse(name: str) -> Iterator[None]:
        with farebox.conversation(name):
            yield

    with farebox.conversation("reader"):
        pairs = [(converse(f"a{n}"), converse(f"b{n}")) for n in range(2)]
        for first, second in pairs:
            next(first), next(second)
            assert (list(first), list(second)) == ([], [])
        held = farebox.current_conversation()

    assert held == farebox.Conversation(id="reader")
    assert farebox.current_conversation() is None
    assert [record.message for record in caplog.records] == [_LEFT_ELSEWHERE]


def test_a_reader_leaves_its_block_while_a_decorated_generator_is_inside_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    @farebox.conversation("read")
    def answer() -> Iterator[None]:
        with farebox.turn():
            yield

    steps = answer()
    with farebox.conversation("reader"):
        next(steps)

    assert (farebox.current_conversation(), list(steps), caplog.records) == (None, [], [])


def test_a_decorated_generator_leaves_its_blocks_wherever_its_steps_run(
    caplog: pytest.LogCaptureFixture,
) -> None:
    @farebox.conversation("outer")
    def answer() -> Iterator[farebox.Conversation | None]:
        with farebox.conversation("inner"), farebox.turn("t"):
            yield farebox.current_conversation()
        yield farebox.current_conversation()

    steps = answer()
    held = [contextvars.Context().run(next, steps) for _ in range(2)]

    assert held == [
        farebox.Conversation(id="inner", turn_id="t"),
        farebox.Conversation(id="outer"),
    ]
    assert caplog.records == []


def test_work_that_starts_its_successor_inside_a_block_keeps_few_contexts() -> None:
    def contexts() -> int:
        gc.collect()
        return sum(type(held) is context.Context for held in gc.get_objects())

    def work() -> None:
        with farebox.conversation("c1"):
            kept[0] = contextvars.copy_context()

    before, kept = contexts(), [contextvars.copy_context()]
    for _ in range(500):
        kept[0].run(work)

    assert contexts() - before < 200


@st.composite
def _interleavings(draw: st.DrawFn) -> list[int]:
    steps = [who for who in range(3) for _ in range(draw(st.integers(1, 4)))]
    return draw(st.permutations(steps))


def _held() -> str | None:
    held = farebox.current_conversation()
    return held.id if held else None


@settings(max_examples=200, deadline=None)
@given(order=_interleavings())
def test_generators_read_in_any_order_never_mix_their_conversations(order: list[int]) -> None:
    def converse(who: int) -> Iterator[str | None]:
        @farebox.conversation(str(who))
        def generator() -> Iterator[str | None]:
            while True:
                with farebox.turn():
                    yield _held()

        return generator()

    generators = {who: converse(who) for who in set(order)}

    assert [next(generators[who]) for who in order] == [str(who) for who in order]
    assert _held() is None


@settings(max_examples=200, deadline=None)
@given(order=_interleavings())
def test_tasks_that_take_turns_in_any_order_never_mix_their_conversations(order: list[int]) -> None:
    seen: list[str | None] = []

    async def converse(who: int, mine: list[asyncio.Event], done: list[asyncio.Event]) -> None:
        with farebox.conversation(str(who)):
            for begin, end in zip(mine, done, strict=True):
                await begin.wait()
                seen.append(_held())
                end.set()

    async def main() -> None:
        steps = [(who, asyncio.Event(), asyncio.Event()) for who in order]
        async with asyncio.TaskGroup() as group:
            for who in set(order):
                mine = [(begin, end) for owner, begin, end in steps if owner == who]
                group.create_task(converse(who, *map(list, zip(*mine, strict=True))))
            for _, begin, end in steps:
                begin.set()
                await end.wait()

    asyncio.run(main())

    assert seen == [str(who) for who in order]


@settings(max_examples=50, deadline=None)
@given(order=_interleavings())
def test_work_of_a_shared_executor_never_mixes_its_conversations(order: list[int]) -> None:
    follow_executors()
    try:
        with ThreadPoolExecutor(max_workers=2) as pool:
            futures = []
            for who in order:
                with farebox.conversation(str(who)):
                    futures.append(pool.submit(_held))
            futures.append(pool.submit(_held))
            found = [future.result() for future in futures]
    finally:
        leave_executors()

    assert found == [*(str(who) for who in order), None]
