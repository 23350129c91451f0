"""Make an existing service say which conversation each of its LLM calls belongs to."""
