"""What anyone calls a provider in, its id in the price book out."""

from typing import Final

__all__ = ["seller_id"]

_SELLERS: Final = {
    "aws.bedrock": "aws",
    "aws_bedrock": "aws",
    "bedrock": "aws",
    "bedrock_converse": "aws",
    "amazon_bedrock": "aws",
    "amazon-bedrock": "aws",
    "azure.ai.openai": "azure",
    "azure.ai.inference": "azure",
    "az.ai.openai": "azure",
    "az.ai.inference": "azure",
    "azure_ai": "azure",
    "azure_openai": "azure",
    "azure-openai": "azure",
    "gcp.gemini": "google",
    "gcp.gen_ai": "google",
    "gcp.vertex_ai": "google",
    "vertex_ai": "google",
    "vertexai": "google",
    "vertex": "google",
    "gemini": "google",
    "google_genai": "google",
    "google-gla": "google",
    "google-vertex": "google",
    "fireworks_ai": "fireworks",
    "mistral_ai": "mistral",
    "mistralai": "mistral",
    "moonshot": "moonshotai",
    "moonshot_ai": "moonshotai",
    "together_ai": "together",
    "together-ai": "together",
    "voyage": "voyageai",
    "voyage_ai": "voyageai",
    "x_ai": "x-ai",
    "xai": "x-ai",
    "z_ai": "zai",
}
"""What spans and gateways call a provider → its id in the price book."""


def seller_id(provider: str) -> str:
    """Return the id of `provider` in lower case; a name that is not listed is an id itself."""
    name = provider.lower().strip()
    return _SELLERS.get(name, name)
