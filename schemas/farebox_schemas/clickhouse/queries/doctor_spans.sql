-- Who emitted the latest spans, and what each leaves open; one row per span.
SELECT
    tenant, trace_id, span_id,
    scope_name, scope_version,
    uncertainty, invalid_usage,
    rating_revision, end_unix_nano, content_hash
FROM spans FINAL
WHERE started_at >= ifNull({since:Nullable(DateTime64(6, 'UTC'))}, started_at)
    AND tenant = ifNull({tenant:Nullable(String)}, tenant)
ORDER BY started_at DESC, tenant, trace_id, span_id
LIMIT {limit:UInt32}
