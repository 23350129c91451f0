from decimal import Decimal

from clickhouse_connect.driver.client import Client

from farebox_processor.store.loads import store_load

from .conftest import Rows


def tier_names(client: Client) -> list[str]:
    latest = "SELECT tier FROM plans WHERE loaded_at = (SELECT max(loaded_at) FROM plans)"
    return [tier for (tier,) in client.query(latest).result_rows]


def test_plans_are_stored_once_and_again_when_they_change(client: Client, tiers: Rows) -> None:
    simple = tiers({"position": 0, "tier": "simple", "price_usd": Decimal("0.02")})
    flat = tiers({"position": 0, "tier": "flat", "price_usd": Decimal("0.02")})

    changed = [store_load(client, "plans", rows) for rows in (simple, simple, flat, flat, simple)]

    assert changed == [True, False, True, False, True]
    assert tier_names(client) == ["simple"]
