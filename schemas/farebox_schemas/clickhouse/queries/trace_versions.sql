-- Which state of their sets the rows of some traces are of.
SELECT tenant, trace_id, own_version, set_version, spans, spans_in_set
FROM traces FINAL
WHERE (tenant, trace_id) IN
(
    SELECT pair.1, pair.2
    FROM
    (
        SELECT arrayJoin(arrayZip({tenants:Array(String)}, {trace_ids:Array(String)})) AS pair
    )
)
