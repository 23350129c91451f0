-- Which spans of a page, from its first to its last, repeat a call that another one is billed for.
SELECT tenant, trace_id, span_id
FROM calls FINAL
WHERE isNotNull(rejected_as)
    AND (tenant, trace_id, span_id)
        >= ({first_tenant:String}, {first_trace_id:String}, {first_span_id:String})
    AND (tenant, trace_id, span_id)
        <= ({last_tenant:String}, {last_trace_id:String}, {last_span_id:String})
