"""How many bytes may be in memory at the same time: of all senders, and of each tenant."""

from collections import Counter

from farebox_processor.errors import RetryableStoreError, TenantShareError

__all__ = ["Budget"]


class Budget:
    """Bytes that are taken before they are kept, and given back after."""

    def __init__(self, limit_bytes: int, tenant_limit_bytes: int | None = None) -> None:
        """Allow so many bytes in all, and so many of them to one tenant (default: all)."""
        self._limit_bytes = limit_bytes
        self._tenant_limit_bytes = limit_bytes if tenant_limit_bytes is None else tenant_limit_bytes
        self._taken: Counter[str] = Counter()

    @property
    def in_use_bytes(self) -> int:
        """The bytes that are taken now."""
        return self._taken.total()

    def take(self, size_bytes: int, tenant: str) -> None:
        """Take bytes.

        Raises RetryableStoreError where fewer are left, TenantShareError where the tenant has had
        its share.
        """
        if self.in_use_bytes + size_bytes > self._limit_bytes:
            raise RetryableStoreError("too much is in flight; try again")
        if self._taken[tenant] + size_bytes > self._tenant_limit_bytes:
            raise TenantShareError("too much of this tenant is in flight; send more slowly")
        self._taken[tenant] += size_bytes

    def give_back(self, size_bytes: int, tenant: str) -> None:
        """Give back bytes that were taken."""
        self._taken[tenant] -= size_bytes
        if not self._taken[tenant]:
            del self._taken[tenant]
