-- Which state of their sets the rows of some traces are of.
SELECT tenant, trace_id, span_id, own_version, set_version
FROM calls FINAL
WHERE (tenant, trace_id) IN
(
    SELECT pair.1, pair.2
    FROM
    (
        SELECT arrayJoin(arrayZip({tenants:Array(String)}, {trace_ids:Array(String)})) AS pair
    )
)
