-- A conversation is the sum of its traces, computed when asked: there is no running total that a
-- repeat or a crash could falsify. Money stays decimal; null is "not known", never "none".
CREATE VIEW IF NOT EXISTS conversations AS
WITH
    -- Every tier of the plans in force, the plan made most closely for a conversation first.
    (
        SELECT groupArray(
            (tenant, feature, turns_below, tokens_below, plan, tier, price_usd, idle_timeout_s)
        )
        FROM
        (
            SELECT
                tenant, feature, turns_below, tokens_below, plan, tier, price_usd, idle_timeout_s
            FROM plans
            WHERE loaded_at = (SELECT max(loaded_at) FROM plans)
            ORDER BY tenant != '' DESC, feature != '' DESC, plan, position
        )
    ) AS tiers,
    -- The first tier whose limits hold: strictly below its turns and its tokens.
    arrayFirstIndex(
        limits -> limits.1 IN ('', tenant)
            AND limits.2 IN ('', ifNull(feature, ''))
            AND ifNull(turns < limits.3, true)
            AND ifNull(total_tokens < limits.4, true),
        tiers
    ) AS tier_index,
    -- The actions that the plans in force price, in the order of their plan.
    (
        SELECT groupArray((plan, dimension, value, action, price_usd, charged))
        FROM
        (
            SELECT
                plan,
                priced.dimension AS dimension,
                priced.value AS value,
                priced.action AS action,
                priced.price_usd AS price_usd,
                priced.charged AS charged
            FROM plans
            ARRAY JOIN actions AS priced, arrayEnumerate(actions) AS place
            WHERE loaded_at = (SELECT max(loaded_at) FROM plans) AND position = 0
            ORDER BY plan, place
        )
    ) AS priced_actions,
    -- The outcomes that the plans in force take for success.
    (
        SELECT groupArray((plan, success_outcome))
        FROM plans
        ARRAY JOIN success_outcomes AS success_outcome
        WHERE loaded_at = (SELECT max(loaded_at) FROM plans) AND position = 0
    ) AS successes,
    (
        SELECT groupArray(plan)
        FROM plans
        WHERE loaded_at = (SELECT max(loaded_at) FROM plans)
            AND position = 0
            AND isNotNull(flat_fee_usd)
    ) AS flat_fee_plans,
    arrayFirstIndex(
        priced -> priced.1 = ifNull(plan, '')
            AND priced.3 = ifNull(
                multiIf(
                    priced.2 = 'user_id', user_id,
                    priced.2 = 'user_tier', user_tier,
                    priced.2 = 'feature', feature,
                    priced.2 = 'action', action,
                    priced.2 = 'conversation_type', conversation_type,
                    priced.2 = 'service_name', service_name,
                    priced.2 = 'environment', environment,
                    nullIf(dimensions[priced.2], '')
                ),
                ''
            ),
        priced_actions
    ) AS action_index,
    -- The life of a conversation, as in conversation_life.py: its traces by their start, when the
    -- first of them, the first two, ... had all ended, and when the last end among them was.
    arrayMap(part -> part.1, arraySort(parts)) AS starts,
    arrayMap(part -> part.2, arraySort(parts)) AS ends,
    arrayMap(part -> if(part.3, part.2, -9223372036854775808), arraySort(parts)) AS told_ends,
    arrayMap(place -> (1, place), arrayEnumerate(parts)) AS earlier,
    arrayReduceInRanges('max', earlier, ends) AS all_ended,
    arrayReduceInRanges('max', earlier, told_ends) AS last_ended,
    if(tier_index = 0, NULL, tiers[tier_index].8) AS timeout_s,
    -- Nanoseconds before each trace that opened the conversation again, null before the others.
    arrayMap(
        (start, ended, told, start_before) -> if(
            ifNull(start - ended > timeout_s * 1000000000, false)
                OR (told < start AND told >= start_before),
            greatest(start - ended, 0),
            NULL
        ),
        arrayPopFront(starts), arrayPopBack(all_ended), arrayPopBack(last_ended), arrayPopBack(starts)
    ) AS pauses,
    -- A division needs a divisor even where its result is thrown away.
    if(ifNull(cost_usd, 0) = 0, 1, cost_usd) AS divisor
SELECT
    tenant,
    conversation_id,
    started_at,
    ended_at,
    conversation_ended,
    -- The only clock of the view, and in no row that is stored: idle is what is silent by now.
    multiIf(
        last_ended[-1] >= starts[-1], 'ended',
        ifNull(ended_at + toIntervalSecond(timeout_s) < now64(9, 'UTC'), false), 'idle',
        'open'
    ) AS status,
    1 + arrayCount(pause -> isNotNull(pause), pauses) AS segments,
    toUInt64(intDiv(arraySum(pause -> ifNull(pause, 0), pauses), 1000000)) AS paused_ms,
    outcome,
    traces,
    spans,
    calls,
    candidates,
    billed_calls,
    rejected_calls,
    failed_calls,
    unpriced_calls,
    turns,
    input_tokens,
    input_audio_tokens,
    input_image_tokens,
    input_video_tokens,
    cache_read_tokens,
    cache_read_audio_tokens,
    cache_read_image_tokens,
    cache_write_5m_tokens,
    cache_write_1h_tokens,
    output_tokens,
    output_audio_tokens,
    output_image_tokens,
    output_video_tokens,
    reasoning_tokens,
    total_tokens,
    -- Where something was billed and nothing of it priced, the sum is not known, which is not 0.
    if(billed_calls = 0 OR priced_traces > 0, priced_usd, NULL) AS cost_usd,
    exact_cost_usd,
    multiIf(
        isNull(cost_usd), NULL,
        cost_usd = 0, toDecimal128(cost_status = 'exact', 18),
        toDecimal128(
            divideDecimal(toDecimal256(exact_cost_usd, 18), toDecimal256(divisor, 18), 18), 18
        )
    ) AS exact_share,
    cost_low_usd,
    if(unbounded_traces = 0, bounded_usd, NULL) AS cost_high_usd,
    cost_statuses,
    -- The order of verdicts.CONVERSATION_STATUS_ORDER; unpriced beside anything priced is partial.
    -- Without a billed call nothing is open: exactly nothing.
    multiIf(
        has(cost_statuses, 'unpriced') AND isNull(cost_usd), 'unpriced',
        hasAny(cost_statuses, ['unpriced', 'partial']), 'partial',
        has(cost_statuses, 'estimated'), 'estimated',
        has(cost_statuses, 'upper_bound'), 'upper_bound',
        has(cost_statuses, 'supplied'), 'supplied',
        'exact'
    ) AS cost_status,
    tool_cost_usd,
    waste_usd,
    supplied_cost_usd,
    blind_to,
    models,
    user_id,
    user_tier,
    feature,
    action,
    conversation_type,
    service_name,
    environment,
    dimensions,
    if(tier_index = 0, NULL, tiers[tier_index].5) AS plan,
    if(tier_index = 0, NULL, tiers[tier_index].6) AS tier,
    if(tier_index = 0, NULL, tiers[tier_index].7) AS tier_price_usd,
    if(
        isNull(outcome), NULL, has(successes, (ifNull(plan, ''), toString(ifNull(outcome, ''))))
    ) AS succeeded,
    if(action_index = 0, NULL, priced_actions[action_index].4) AS priced_action,
    -- Charged on success, an action has earned nothing until a success is known.
    multiIf(
        action_index = 0, NULL,
        priced_actions[action_index].6 = 'always' OR ifNull(succeeded, false),
        priced_actions[action_index].5,
        toDecimal128(0, 18)
    ) AS action_price_usd,
    multiIf(
        action_index > 0, 'action',
        isNull(plan), NULL,
        has(flat_fee_plans, ifNull(plan, '')), 'flat_fee',
        'tier'
    ) AS sold_by,
    -- A flat fee is earned with a month, not with a conversation: see plan_months.
    multiIf(
        sold_by = 'action', action_price_usd, sold_by = 'tier', tier_price_usd, NULL
    ) AS revenue_usd,
    revenue_usd - cost_usd AS margin_usd,
    if(
        ifNull(cost_usd, 0) = 0,
        NULL,
        toDecimal128(
            divideDecimal(toDecimal256(revenue_usd, 18), toDecimal256(divisor, 18), 18), 18
        )
    ) AS recovery_ratio
FROM
(
    WITH
        -- When a trace ended, and of two that ended together the greater id. In one number: over
        -- (ended_at, trace_id) as a pair argMax takes three times as long.
        bitOr(
            bitShiftLeft(toInt256(toUnixTimestamp64Nano(t.ended_at)), 128),
            toInt256(reinterpretAsUInt128(reverse(unhex(t.trace_id))))
        ) AS moment
    SELECT
        t.tenant AS tenant,
        t.conversation_id AS conversation_id,
        min(t.started_at) AS started_at,
        max(t.ended_at) AS ended_at,
        max(t.conversation_ended) AS conversation_ended,
        groupArray((
            toUnixTimestamp64Nano(t.started_at),
            toUnixTimestamp64Nano(greatest(t.started_at, t.ended_at)),
            t.conversation_ended
        )) AS parts,
        count() AS traces,
        sum(t.spans) AS spans,
        sum(t.calls) AS calls,
        sum(t.candidates) AS candidates,
        sum(t.billed_calls) AS billed_calls,
        sum(t.rejected_calls) AS rejected_calls,
        sum(t.failed_calls) AS failed_calls,
        sum(t.unpriced_calls) AS unpriced_calls,
        -- An id may span traces; it is one turn.
        sum(t.turns) + length(groupUniqArrayArray(t.turn_ids)) AS turns,
        sum(t.input_tokens) AS input_tokens,
        sum(t.input_audio_tokens) AS input_audio_tokens,
        sum(t.input_image_tokens) AS input_image_tokens,
        sum(t.input_video_tokens) AS input_video_tokens,
        sum(t.cache_read_tokens) AS cache_read_tokens,
        sum(t.cache_read_audio_tokens) AS cache_read_audio_tokens,
        sum(t.cache_read_image_tokens) AS cache_read_image_tokens,
        sum(t.cache_write_5m_tokens) AS cache_write_5m_tokens,
        sum(t.cache_write_1h_tokens) AS cache_write_1h_tokens,
        sum(t.output_tokens) AS output_tokens,
        sum(t.output_audio_tokens) AS output_audio_tokens,
        sum(t.output_image_tokens) AS output_image_tokens,
        sum(t.output_video_tokens) AS output_video_tokens,
        sum(t.reasoning_tokens) AS reasoning_tokens,
        sum(t.total_tokens) AS total_tokens,
        sum(t.cost_usd) AS priced_usd,
        countIf(isNotNull(t.cost_usd) AND t.billed_calls > 0) AS priced_traces,
        sum(t.exact_cost_usd) AS exact_cost_usd,
        sum(t.cost_low_usd) AS cost_low_usd,
        sum(t.cost_high_usd) AS bounded_usd,
        countIf(isNull(t.cost_high_usd)) AS unbounded_traces,
        arraySort(groupUniqArrayArray(t.cost_statuses)) AS cost_statuses,
        sum(t.tool_cost_usd) AS tool_cost_usd,
        sum(t.waste_usd) AS waste_usd,
        sum(t.supplied_cost_usd) AS supplied_cost_usd,
        arraySort(groupUniqArrayArray(t.blind_to)) AS blind_to,
        arraySort(groupUniqArrayArray(t.models)) AS models,
        -- The last trace that says anything.
        argMaxIf(t.outcome, moment, isNotNull(t.outcome)) AS outcome,
        argMaxIf(t.user_id, moment, isNotNull(t.user_id)) AS user_id,
        argMaxIf(t.user_tier, moment, isNotNull(t.user_tier)) AS user_tier,
        argMaxIf(t.feature, moment, isNotNull(t.feature)) AS feature,
        argMaxIf(t.action, moment, isNotNull(t.action)) AS action,
        argMaxIf(t.conversation_type, moment, isNotNull(t.conversation_type)) AS conversation_type,
        argMaxIf(t.service_name, moment, isNotNull(t.service_name)) AS service_name,
        argMaxIf(t.environment, moment, isNotNull(t.environment)) AS environment,
        -- The same of each name: the greatest (moment, value) of it.
        mapApply(
            (name, latest) -> (name, latest.2),
            maxMap(mapApply((name, value) -> (name, (moment, value)), t.dimensions))
        ) AS dimensions
    FROM traces AS t FINAL
    -- What holds no call and names no conversation is nobody's conversation.
    WHERE t.candidates > 0 OR t.conversation_id_source != 'trace'
    GROUP BY t.tenant, t.conversation_id
);
