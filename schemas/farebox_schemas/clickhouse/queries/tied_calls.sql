-- Calls that may tie some traces to others: with the same response id as a call of theirs, or equal
-- to one of theirs at that time. The traces are those given and those with spans that were stored
-- in some seconds. What was replaced since may be among the calls: more is found, never less.
WITH
    seeds AS
    (
        SELECT tenant, trace_id
        FROM spans
        WHERE stored_at BETWEEN {since:DateTime('UTC')} AND {until:DateTime('UTC')}
        UNION DISTINCT
        SELECT pair.1 AS tenant, pair.2 AS trace_id
        FROM
        (
            SELECT arrayJoin(arrayZip({tenants:Array(String)}, {trace_ids:Array(String)})) AS pair
        )
    ),
    told AS
    (
        SELECT
            tenant, trace_id, service_name, scope_name, call_kind, response_id, started_at, ended_at,
            -- As in rollup/facts.py.
            coalesce(priced_model, model, tool_name) AS subject,
            [
                input_tokens, input_audio_tokens, input_image_tokens, input_video_tokens,
                cache_read_tokens, cache_read_audio_tokens, cache_read_image_tokens,
                cache_write_5m_tokens, cache_write_1h_tokens
            ] AS inputs,
            [
                output_tokens, output_audio_tokens, output_image_tokens, output_video_tokens
            ] AS outputs,
            if(arrayAll(n -> isNull(n), inputs), NULL, arraySum(n -> ifNull(n, 0), inputs))
                AS input_total,
            if(arrayAll(n -> isNull(n), outputs), NULL, arraySum(n -> ifNull(n, 0), outputs))
                AS output_total
        FROM spans
        WHERE candidate AND call_kind != 'agent'
    ),
    -- Tools tell no totals, so equal ones of two traces are two.
    comparable AS
    (
        SELECT
            *,
            (
                tenant, service_name, ifNull(call_kind, ''), ifNull(subject, ''),
                ifNull(input_total, -1), ifNull(output_total, -1)
            ) AS equal_call,
            least(started_at, ended_at) AS began,
            greatest(started_at, ended_at) AS over
        FROM told
        WHERE isNotNull(subject) AND call_kind != 'tool'
            AND (isNotNull(input_total) OR isNotNull(output_total))
    )
SELECT
    tenant, trace_id, service_name, scope_name, call_kind, subject, response_id,
    input_total, output_total, started_at, ended_at, (tenant, trace_id) IN seeds AS is_seed
FROM told
WHERE (tenant, response_id) IN
(
    SELECT tenant, response_id
    FROM told
    WHERE response_id IN
    (
        SELECT response_id
        FROM told
        WHERE isNotNull(response_id) AND (tenant, trace_id) IN seeds
    )
    GROUP BY tenant, response_id
    -- Above that an id is worn and ties nothing.
    HAVING uniqExact(trace_id) BETWEEN 2 AND {most:UInt32}
)
UNION ALL
SELECT
    call.1, call.2, call.3, call.4, call.5, call.6, call.7, call.8, call.9, call.10, call.11,
    (call.1, call.2) IN seeds AS is_seed
FROM
(
    SELECT
        groupArray(
            (
                c.tenant, c.trace_id, c.service_name, c.scope_name, c.call_kind, c.subject,
                c.response_id, c.input_total, c.output_total, c.started_at, c.ended_at
            )
        ) AS crowd
    FROM comparable AS c
    INNER JOIN
    (
        SELECT equal_call, min(began) AS first, max(over) AS last
        FROM comparable
        WHERE (tenant, trace_id) IN seeds
        GROUP BY equal_call
    ) AS seed ON c.equal_call = seed.equal_call
    WHERE c.began <= seed.last AND c.over >= seed.first
    GROUP BY c.equal_call
    HAVING uniqExact(c.trace_id) > 1
        AND uniqExact(c.scope_name) > 1
        AND countIf(isNull(c.response_id)) > 0
)
ARRAY JOIN crowd AS call
