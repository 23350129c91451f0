-- Response ids that some traces show, and more traces than real calls are recorded in.
SELECT tenant, assumeNotNull(response_id) AS response_id
FROM spans
WHERE candidate AND call_kind != 'agent' AND response_id IN
(
    SELECT response_id
    FROM spans
    WHERE isNotNull(response_id) AND (tenant, trace_id) IN
    (
        SELECT pair.1, pair.2
        FROM
        (
            SELECT arrayJoin(arrayZip({tenants:Array(String)}, {trace_ids:Array(String)})) AS pair
        )
    )
)
GROUP BY tenant, response_id
HAVING uniqExact(trace_id) > {most:UInt32}
