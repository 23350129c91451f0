"""Which attributes are content: what people and models said, rather than what it took.

Traceloop, OpenInference, Langfuse, LiteLLM and Vercel record prompts and answers by default.
A cost needs none of it, so it goes no further than the reading of usage.
"""

import re
from typing import Final

import polars as pl

__all__ = ["CONTENT_KEYS", "CONTENT_PATTERNS", "EVENT_CONTENT_KEYS", "is_content"]

CONTENT_KEYS: Final = (
    # OpenTelemetry
    "gen_ai.input.messages",
    "gen_ai.output.messages",
    "gen_ai.system_instructions",
    "gen_ai.tool.definitions",
    "gen_ai.tool.call.arguments",
    "gen_ai.tool.call.result",
    "gen_ai.retrieval.query.text",
    "gen_ai.retrieval.documents",
    "gen_ai.prompt.variable",
    "gen_ai.memory.records",
    "gen_ai.memory.query.text",
    "gen_ai.evaluation.explanation",
    # its older names and Traceloop's
    "gen_ai.completion",
    "llm.prompts",
    "llm.completions",
    "llm.request.functions",
    "traceloop.entity.input",
    "traceloop.entity.output",
    "traceloop.prompt",
    # OpenLIT
    "gen_ai.content",
    "gen_ai.event.content",
    "gen_ai.task.input",
    "gen_ai.task.output",
    "gen_ai.workflow.input",
    "gen_ai.workflow.output",
    # OpenInference
    "input.value",
    "output.value",
    "llm.input_messages",
    "llm.output_messages",
    "llm.prompt_template",
    "llm.function_call",
    "llm.invocation_parameters",  # with the instructions, where the agents SDK is traced
    "llm.tools",
    "retrieval.documents",
    "reranker.input_documents",
    "reranker.output_documents",
    "reranker.query",
    "document.content",
    "embedding.embeddings",
    "embedding.text",
    "embedding.vector",
    "tool.parameters",
    "message",
    # Langfuse
    "langfuse.observation.input",
    "langfuse.observation.output",
    "langfuse.trace.input",
    "langfuse.trace.output",
    # Vercel AI SDK
    "ai.prompt",
    "ai.request.text",
    "ai.toolCall.args",
    "ai.toolCall.result",
    "ai.value",
    "ai.values",
    "ai.embedding",
    "ai.embeddings",
    # Genkit and Mastra
    "genkit:input",
    "genkit:output",
    "mastra.metadata.body",
    # pydantic-ai and Logfire
    "pydantic_ai.all_messages",
    "all_messages_events",
    "final_result",
    "events",
    "model_request_parameters",
    "tool_arguments",
    "tool_response",
    "request_data",
    "response_data",
    # Google ADK
    "gcp.vertex.agent.llm_request",
    "gcp.vertex.agent.llm_response",
    "gcp.vertex.agent.tool_call_args",
    "gcp.vertex.agent.tool_response",
    "gcp.vertex.agent.data",
    # Strands, CrewAI, MLflow, coding agents
    "system_prompt",
    "crew_inputs",
    "crew_tasks",
    "mlflow.spanInputs",
    "mlflow.spanOutputs",
    "user_prompt",
    "prompt",
    "tool_input",
    "tool_output",
    "tool_parameters",
    "new_context",
)
"""Each names a key and all keys below it: `input.value` and `input.value.text`."""

CONTENT_PATTERNS: Final = (
    r"gen_ai\.prompt(\.\d+\..*)?",  # gen_ai.prompt.0.content, but not gen_ai.prompt.name
    r"ai\.(response|result)\.(text|reasoning|object|toolCalls|files|content)",
    r"mastra\.[a-z_]+\.(input|output)",
    # LiteLLM repeats what it sent to a provider: llm.openai.messages
    r"llm\.[^.]+\.(messages|choices|input|output|system|content|contents|candidates|tools)",
)
"""Regular expressions for whole keys."""

EVENT_CONTENT_KEYS: Final = ("content", "message", "tool_calls", "body")
"""Content too in an event named gen_ai.…, which is a message in the older conventions."""

_BELOW: Final = "|".join(re.escape(key) for key in CONTENT_KEYS)
_PATTERN: Final = rf"^(?:(?:{_BELOW})(?:\..*)?|{'|'.join(CONTENT_PATTERNS)})$"


def is_content(keys: pl.Series) -> pl.Series:
    """Say of each key whether what it holds is content."""
    return keys.str.contains(_PATTERN)
