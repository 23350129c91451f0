-- Traces whose row was made before a response id of theirs was worn, as far as spans show that id
-- which were stored in some seconds.
WITH
    worn AS
    (
        SELECT tenant, response_id
        FROM spans
        WHERE candidate AND call_kind != 'agent' AND response_id IN
        (
            SELECT response_id
            FROM spans
            WHERE isNotNull(response_id)
                AND stored_at BETWEEN {since:DateTime('UTC')} AND {until:DateTime('UTC')}
        )
        GROUP BY tenant, response_id
        HAVING uniqExact(trace_id) > {most:UInt32}
    ),
    shown AS
    (
        SELECT DISTINCT tenant, trace_id, assumeNotNull(response_id) AS response_id
        FROM spans
        WHERE candidate AND call_kind != 'agent' AND (tenant, response_id) IN worn
    )
SELECT DISTINCT s.tenant AS tenant, s.trace_id AS trace_id
FROM shown AS s
LEFT JOIN
(
    SELECT tenant, trace_id, worn_response_ids
    FROM traces FINAL
    WHERE (tenant, trace_id) IN (SELECT tenant, trace_id FROM shown)
) AS t
    ON s.tenant = t.tenant AND s.trace_id = t.trace_id
WHERE NOT has(t.worn_response_ids, s.response_id)
