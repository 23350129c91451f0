-- Conversations, the costliest first; each filter counts where it is not null.
SELECT *
FROM conversations
WHERE ended_at >= ifNull({since:Nullable(DateTime64(6, 'UTC'))}, ended_at)
    AND started_at < ifNull({until:Nullable(DateTime64(6, 'UTC'))}, started_at + INTERVAL 1 SECOND)
    AND tenant = ifNull({tenant:Nullable(String)}, tenant)
    AND ifNull(tier, '') = ifNull({tier:Nullable(String)}, ifNull(tier, ''))
    AND ifNull(user_id, '') = ifNull({user_id:Nullable(String)}, ifNull(user_id, ''))
    AND ifNull(feature, '') = ifNull({feature:Nullable(String)}, ifNull(feature, ''))
    AND ifNull(service_name, '') = ifNull({service_name:Nullable(String)}, ifNull(service_name, ''))
    AND (isNull({model:Nullable(String)}) OR has(models, {model:Nullable(String)}))
    AND arrayAll(
        (name, value) -> dimensions[name] = value,
        {dimensions:Array(String)}, {dimension_values:Array(String)}
    )
    AND conversation_id = ifNull({conversation_id:Nullable(String)}, conversation_id)
ORDER BY cost_usd DESC NULLS LAST, tenant, conversation_id
LIMIT {limit:UInt32}
