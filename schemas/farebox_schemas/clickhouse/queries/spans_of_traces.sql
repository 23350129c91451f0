-- The spans of given traces, as they were written, to be rolled up again.
SELECT * EXCEPT (stored_at)
FROM spans FINAL
WHERE (tenant, trace_id) IN
(
    SELECT pair.1, pair.2
    FROM
    (
        SELECT arrayJoin(arrayZip({tenants:Array(String)}, {trace_ids:Array(String)})) AS pair
    )
)
ORDER BY tenant, trace_id, span_id
