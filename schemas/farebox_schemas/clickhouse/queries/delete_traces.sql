-- Take out rows that would win over those of the spans there are.
DELETE FROM traces
WHERE (tenant, trace_id) IN
(
    SELECT pair.1, pair.2
    FROM
    (
        SELECT arrayJoin(arrayZip({tenants:Array(String)}, {trace_ids:Array(String)})) AS pair
    )
)
