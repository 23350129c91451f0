-- A page of the spans that may carry money, in a time range, of a tenant or of a model; the next
-- page begins after the last span of this one.
SELECT * EXCEPT (stored_at)
FROM spans FINAL
WHERE (
        candidate
        OR isNotNull(call_kind)
        -- What a rule may price now, though none did when the span came.
        OR arrayExists(
            (name, value) -> has({rule_columns:Array(String)}, name) AND isNotNull(value),
            ['tool_name', 'operation', 'provider', 'model', 'service_name'],
            [tool_name, operation, provider, model, service_name]
        )
    )
    AND started_at >= ifNull({since:Nullable(DateTime64(9, 'UTC'))}, started_at)
    AND started_at < ifNull({until:Nullable(DateTime64(9, 'UTC'))}, started_at + INTERVAL 1 SECOND)
    AND tenant = ifNull({only_tenant:Nullable(String)}, tenant)
    AND (
        isNull({only_model:Nullable(String)})
        OR has(
            [model, request_model, response_model, priced_model], {only_model:Nullable(String)}
        )
    )
    AND (tenant, trace_id, span_id)
        > ({after_tenant:String}, {after_trace:String}, {after_span:String})
ORDER BY tenant, trace_id, span_id
LIMIT {limit:UInt32}
