-- Take out rows of spans that are no calls any more, and such as would win over those that are.
DELETE FROM calls
WHERE (tenant, trace_id, span_id) IN
(
    SELECT triple.1, triple.2, triple.3
    FROM
    (
        SELECT arrayJoin(
            arrayZip({tenants:Array(String)}, {trace_ids:Array(String)}, {span_ids:Array(String)})
        ) AS triple
    )
)
