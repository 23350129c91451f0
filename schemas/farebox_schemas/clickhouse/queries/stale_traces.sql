-- Traces with spans that were stored in some seconds, whose rows are not those of their spans: the
-- trace has none, or one of other spans or contents, or calls that are not of its state.
WITH
    lately AS
    (
        SELECT DISTINCT tenant, trace_id
        FROM spans
        WHERE stored_at BETWEEN {since:DateTime('UTC')} AND {until:DateTime('UTC')}
    )
SELECT s.tenant AS tenant, s.trace_id AS trace_id
FROM
(
    SELECT
        tenant,
        trace_id,
        -- The sum that the roll up makes of the same: own_version.
        sum(toUInt256(bitShiftRight(version, 26))) AS own_version
    FROM spans FINAL
    WHERE (tenant, trace_id) IN lately
    GROUP BY tenant, trace_id
) AS s
LEFT JOIN
(
    SELECT tenant, trace_id, toUInt256(own_version) AS own_version, candidates, version
    FROM traces FINAL
    WHERE (tenant, trace_id) IN lately
) AS t
    ON s.tenant = t.tenant AND s.trace_id = t.trace_id
LEFT JOIN
(
    SELECT tenant, trace_id, count() AS calls, min(version) AS least, max(version) AS greatest
    FROM calls FINAL
    WHERE (tenant, trace_id) IN lately
    GROUP BY tenant, trace_id
) AS c
    ON s.tenant = c.tenant AND s.trace_id = c.trace_id
-- A missing row joins as zeros.
WHERE s.own_version != t.own_version
    OR c.calls != t.candidates
    OR (c.calls > 0 AND (c.least != t.version OR c.greatest != t.version))
ORDER BY tenant, trace_id
