"""Who sends: a bearer token in, its tenant out."""

from collections.abc import Mapping, Sequence
from hashlib import sha256

from farebox_processor.config import Token
from farebox_processor.server.statuses import Answer, Condition

__all__ = ["Admission"]


class Admission:
    """Whoever shows a known token with the scope `ingest` may send, as the token's tenant.

    Where no tokens were ever given everybody may send, as the tenant without a name.
    """

    def __init__(self, tokens: Sequence[Token]) -> None:
        self._is_open = not tokens
        self._tokens: Mapping[str, Token] = {}
        self.take(tokens)

    def take(self, tokens: Sequence[Token]) -> None:
        """Know these tokens from now on, and no others."""
        # Looked up by digest: how long that takes tells nothing about the tokens themselves.
        self._tokens = {token.sha256: token for token in tokens}

    def admit(self, authorization: str | None) -> str | Answer:
        """Return the tenant of an `authorization: Bearer ...`, or the answer that refuses it."""
        if self._is_open:
            return ""
        scheme, _, credential = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not credential:
            return Answer(Condition.UNAUTHENTICATED, "send `authorization: Bearer <token>`")
        digest = sha256(credential.strip().encode("utf-8", "surrogateescape")).hexdigest()
        token = self._tokens.get(digest)
        if token is None:
            return Answer(Condition.UNAUTHENTICATED, "the token is not known")
        if "ingest" not in token.scopes:
            return Answer(Condition.FORBIDDEN, "the token lacks the scope `ingest`")
        return token.tenant
