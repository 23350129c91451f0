-- What conversations cost and earned, by one of their dimensions; the costliest first.
SELECT
    multiIf(
        {dimension:String} = 'tenant', tenant,
        {dimension:String} = 'tier', tier,
        {dimension:String} = 'user_id', user_id,
        {dimension:String} = 'user_tier', user_tier,
        {dimension:String} = 'feature', feature,
        {dimension:String} = 'action', action,
        {dimension:String} = 'conversation_type', conversation_type,
        {dimension:String} = 'service_name', service_name,
        {dimension:String} = 'environment', environment,
        nullIf(dimensions[{dimension:String}], '')
    ) AS value,
    count() AS conversations,
    sum(c.billed_calls) AS billed_calls,
    sum(c.unpriced_calls) AS unpriced_calls,
    sum(c.total_tokens) AS total_tokens,
    sum(c.cost_usd) AS cost_usd,
    sum(c.exact_cost_usd) AS exact_cost_usd,
    sum(c.waste_usd) AS waste_usd,
    sum(c.tier_price_usd) AS tier_price_usd,
    sum(c.action_price_usd) AS action_price_usd,
    sum(c.revenue_usd) AS revenue_usd,
    sum(c.margin_usd) AS margin_usd,
    countIf(c.succeeded) AS succeeded,
    -- Of those whose cost is known, and of what it took, failures included, to reach one success.
    if(
        count(c.cost_usd) = 0,
        NULL,
        toDecimal128(toDecimal256(sum(c.cost_usd), 18) / greatest(count(c.cost_usd), 1), 18)
    ) AS cost_per_conversation_usd,
    if(
        succeeded = 0,
        NULL,
        toDecimal128(toDecimal256(sum(c.cost_usd), 18) / greatest(succeeded, 1), 18)
    ) AS cost_per_success_usd
FROM conversations AS c
WHERE c.ended_at >= ifNull({since:Nullable(DateTime64(6, 'UTC'))}, c.ended_at)
    AND c.started_at
        < ifNull({until:Nullable(DateTime64(6, 'UTC'))}, c.started_at + INTERVAL 1 SECOND)
    AND (isNull({tenant:Nullable(String)}) OR c.tenant = {tenant:Nullable(String)})
GROUP BY value
ORDER BY cost_usd DESC NULLS LAST, value
LIMIT {limit:UInt32}
