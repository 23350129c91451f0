-- What a plan earned and cost with each tenant, month by month (of UTC, by the start of the
-- conversation). Here a flat fee shows: it is earned with a month in which the plan was used.
CREATE VIEW IF NOT EXISTS plan_months AS
SELECT
    used.tenant AS tenant,
    used.plan AS plan,
    used.month AS month,
    used.conversations AS conversations,
    -- Sold by action or by tier; the others fall under the flat fee.
    used.conversations_revenue_usd AS conversations_revenue_usd,
    used.flat_fee_conversations AS flat_fee_conversations,
    ifNull(terms.flat_fee_usd, toDecimal128(0, 18)) AS flat_fee_usd,
    terms.included_conversations AS included_conversations,
    -- Without a number of included conversations, all of them are.
    if(
        flat_fee_conversations > ifNull(terms.included_conversations, flat_fee_conversations),
        flat_fee_conversations - assumeNotNull(terms.included_conversations),
        0
    ) AS overage_conversations,
    overage_conversations * ifNull(terms.overage_price_usd, toDecimal128(0, 18)) AS overage_usd,
    conversations_revenue_usd + flat_fee_usd + overage_usd AS revenue_usd,
    -- Of conversations whose cost is known; `unpriced_conversations` says how many are not in it.
    used.cost_usd AS cost_usd,
    used.unpriced_conversations AS unpriced_conversations,
    revenue_usd - cost_usd AS margin_usd
FROM
(
    SELECT
        c.tenant AS tenant,
        c.plan AS plan,
        toStartOfMonth(c.started_at) AS month,
        count() AS conversations,
        countIf(c.sold_by = 'flat_fee') AS flat_fee_conversations,
        sum(ifNull(c.revenue_usd, toDecimal128(0, 18))) AS conversations_revenue_usd,
        sum(ifNull(c.cost_usd, toDecimal128(0, 18))) AS cost_usd,
        countIf(isNull(c.cost_usd)) AS unpriced_conversations
    FROM conversations AS c
    GROUP BY tenant, plan, month
) AS used
LEFT JOIN
(
    SELECT plan, flat_fee_usd, included_conversations, overage_price_usd
    FROM plans
    WHERE loaded_at = (SELECT max(loaded_at) FROM plans) AND position = 0
) AS terms
    ON used.plan = terms.plan;
