-- What became of the latest calls: billed or rejected, at what cost, how sure.
SELECT
    tenant, trace_id, span_id,
    scope_name, scope_version,
    provider, model, priced_model, tool_name,
    usage_reading, usage_rule, blind_to,
    billed, rejected_as, billed_instead_trace_id, billed_instead,
    cost_usd, cost_low_usd, cost_high_usd, cost_status, cost_reason,
    supplied_cost_usd, supplied_cost_source
FROM calls FINAL
WHERE started_at >= ifNull({since:Nullable(DateTime64(6, 'UTC'))}, started_at)
    AND tenant = ifNull({tenant:Nullable(String)}, tenant)
ORDER BY started_at DESC, tenant, trace_id, span_id
LIMIT {limit:UInt32}
