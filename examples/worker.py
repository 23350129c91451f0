"""A web process sends tasks, a worker process takes them: the conversation goes along.

`OPENAI_API_KEY=... python examples/worker.py` plays both in one process. With Celery,
`headers=farebox.headers()` goes to `apply_async`, and `worker(headers=lambda task, *_:
task.request.headers)` above a bound task.
"""

import queue
from typing import Any

from openai import OpenAI

import farebox
from farebox.middleware import worker

farebox.instrument(service_name="reports")

tasks: queue.Queue[dict[str, Any]] = queue.Queue()


def send(report: str) -> None:
    """Send a task, as a request is handled."""
    tasks.put({"report": report, "headers": farebox.headers()})


@worker(headers=lambda task: task["headers"], action="report")
def write_report(task: dict[str, Any]) -> str | None:
    """Do a task: in the conversation that it was sent from."""
    with OpenAI() as client:
        reply = client.chat.completions.create(
            model="gpt-4o", messages=[{"role": "user", "content": f"Write: {task['report']}"}]
        )
    farebox.outcome("written")
    return reply.choices[0].message.content


def work() -> None:
    """Do the tasks that wait."""
    while not tasks.empty():
        write_report(tasks.get())


if __name__ == "__main__":
    with farebox.conversation("chat-42", tenant="acme"):
        send("sales of the week")
    work()
    print(farebox.status())
