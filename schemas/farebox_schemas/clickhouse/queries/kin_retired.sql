-- Those of some traces whose rows are of a set, told by its version, of which a trace has fewer spans
-- now than its row was made from.
WITH
    asked AS
    (
        SELECT pair.1 AS tenant, pair.2 AS trace_id
        FROM
        (
            SELECT arrayJoin(arrayZip({tenants:Array(String)}, {trace_ids:Array(String)})) AS pair
        )
    ),
    of_asked AS
    (
        SELECT tenant, trace_id, set_version
        FROM traces FINAL
        WHERE (tenant, trace_id) IN asked
    ),
    kin AS
    (
        SELECT tenant, trace_id, set_version, spans
        FROM traces
        WHERE set_version IN (SELECT set_version FROM of_asked)
    )
SELECT DISTINCT tenant, trace_id
FROM of_asked
WHERE set_version IN
(
    SELECT k.set_version
    FROM kin AS k
    LEFT JOIN
    (
        SELECT tenant, trace_id, uniqExact(span_id) AS spans
        FROM spans
        WHERE (tenant, trace_id) IN (SELECT tenant, trace_id FROM kin)
        GROUP BY tenant, trace_id
    ) AS s
        ON k.tenant = s.tenant AND k.trace_id = s.trace_id
    -- A missing row joins as zeros.
    WHERE k.spans > s.spans
)
