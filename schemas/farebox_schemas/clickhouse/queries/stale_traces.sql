-- Traces with spans that were stored since, whose row is missing, knows fewer spans or is rated
-- with an earlier revision.
SELECT s.tenant AS tenant, s.trace_id AS trace_id
FROM
(
    SELECT tenant, trace_id, uniqExact(span_id) AS spans, max(rating_revision) AS rating_revision
    FROM spans
    WHERE (tenant, trace_id) IN
    (
        SELECT tenant, trace_id FROM spans WHERE stored_at >= {stored_since:DateTime('UTC')}
    )
    GROUP BY tenant, trace_id
) AS s
LEFT JOIN
(
    SELECT tenant, trace_id, spans, rating_revision
    FROM traces FINAL
    WHERE (tenant, trace_id) IN
    (
        SELECT tenant, trace_id FROM spans WHERE stored_at >= {stored_since:DateTime('UTC')}
    )
) AS t
    ON s.tenant = t.tenant AND s.trace_id = t.trace_id
-- A missing row joins as zeros.
WHERE t.spans < s.spans OR t.rating_revision < s.rating_revision
ORDER BY tenant, trace_id
LIMIT {limit:UInt32}
