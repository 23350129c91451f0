-- What was spent in a month so far and on its last day, by whoever can have a budget.
SELECT
    tenant,
    user_id,
    feature,
    sumIf(c.cost_usd, c.started_at >= {day:DateTime64(6, 'UTC')}) AS day_usd,
    sum(c.cost_usd) AS month_usd,
    countIf(isNull(c.cost_usd) AND c.started_at >= {day:DateTime64(6, 'UTC')}) AS day_unpriced,
    countIf(isNull(c.cost_usd)) AS month_unpriced
FROM calls AS c FINAL
WHERE c.billed
    AND c.started_at >= {month:DateTime64(6, 'UTC')}
    AND c.started_at < {until:DateTime64(6, 'UTC')}
GROUP BY tenant, user_id, feature
