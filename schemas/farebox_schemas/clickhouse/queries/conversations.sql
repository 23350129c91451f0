-- Conversations, the costliest first; each filter counts where it is not null.
SELECT *
FROM conversations
WHERE ended_at >= ifNull({since:Nullable(DateTime64(6, 'UTC'))}, ended_at)
    AND started_at < ifNull({until:Nullable(DateTime64(6, 'UTC'))}, started_at + INTERVAL 1 SECOND)
    -- Written so, and not with ifNull, what is asked for reaches the indexes of `traces`.
    AND (isNull({tenant:Nullable(String)}) OR tenant = {tenant:Nullable(String)})
    AND ifNull(tier, '') = ifNull({tier:Nullable(String)}, ifNull(tier, ''))
    AND ifNull(user_id, '') = ifNull({user_id:Nullable(String)}, ifNull(user_id, ''))
    AND ifNull(feature, '') = ifNull({feature:Nullable(String)}, ifNull(feature, ''))
    AND ifNull(service_name, '') = ifNull({service_name:Nullable(String)}, ifNull(service_name, ''))
    AND (isNull({model:Nullable(String)}) OR has(models, {model:Nullable(String)}))
    AND arrayAll(
        (name, value) -> dimensions[name] = value,
        {dimensions:Array(String)}, {dimension_values:Array(String)}
    )
    AND (isNull({conversation_id:Nullable(String)})
        OR conversation_id = {conversation_id:Nullable(String)})
ORDER BY cost_usd DESC NULLS LAST, tenant, conversation_id
LIMIT {limit:UInt32}
