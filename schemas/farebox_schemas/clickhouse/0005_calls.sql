-- One row per call, derived from a whole set of spans: billed or rejected, attempt, turn,
-- conversation. What dashboards by model, feature and user read; sum where `billed`.
CREATE TABLE IF NOT EXISTS calls
(
    -- Identity.
    tenant String CODEC(ZSTD(1)),
    trace_id String CODEC(ZSTD(1)),
    span_id String CODEC(ZSTD(1)),
    parent_span_id Nullable(String) CODEC(ZSTD(1)),
    span_name String CODEC(ZSTD(1)),

    -- Times.
    started_at DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    ended_at DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    duration_ns UInt64 CODEC(T64, ZSTD(1)),

    -- What kind of call.
    scope_name LowCardinality(String),
    scope_version LowCardinality(String),
    dialect LowCardinality(Nullable(String)),
    call_kind LowCardinality(Nullable(String)),
    operation LowCardinality(Nullable(String)),
    provider LowCardinality(Nullable(String)),
    model LowCardinality(Nullable(String)),
    priced_model LowCardinality(Nullable(String)),
    response_id Nullable(String) CODEC(ZSTD(1)),
    tool_name LowCardinality(Nullable(String)),
    is_error Nullable(Bool),
    error_type LowCardinality(Nullable(String)),

    -- What a cost is grouped by.
    user_id Nullable(String) CODEC(ZSTD(1)),
    user_tier LowCardinality(Nullable(String)),
    feature LowCardinality(Nullable(String)),
    action LowCardinality(Nullable(String)),
    conversation_type LowCardinality(Nullable(String)),
    service_name LowCardinality(String),
    environment LowCardinality(Nullable(String)),
    dimensions Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    outcome LowCardinality(Nullable(String)),

    -- How much.
    input_tokens Nullable(Int64) CODEC(T64, ZSTD(1)),
    input_audio_tokens Nullable(Int64) CODEC(T64, ZSTD(1)),
    input_image_tokens Nullable(Int64) CODEC(T64, ZSTD(1)),
    input_video_tokens Nullable(Int64) CODEC(T64, ZSTD(1)),
    cache_read_tokens Nullable(Int64) CODEC(T64, ZSTD(1)),
    cache_read_audio_tokens Nullable(Int64) CODEC(T64, ZSTD(1)),
    cache_read_image_tokens Nullable(Int64) CODEC(T64, ZSTD(1)),
    cache_write_5m_tokens Nullable(Int64) CODEC(T64, ZSTD(1)),
    cache_write_1h_tokens Nullable(Int64) CODEC(T64, ZSTD(1)),
    output_tokens Nullable(Int64) CODEC(T64, ZSTD(1)),
    output_audio_tokens Nullable(Int64) CODEC(T64, ZSTD(1)),
    output_image_tokens Nullable(Int64) CODEC(T64, ZSTD(1)),
    output_video_tokens Nullable(Int64) CODEC(T64, ZSTD(1)),
    reasoning_tokens Nullable(Int64) CODEC(T64, ZSTD(1)),
    units Array(Tuple(unit LowCardinality(String), quantity Decimal(38, 9))) CODEC(ZSTD(1)),
    usage_reading LowCardinality(Nullable(String)),
    usage_rule LowCardinality(Nullable(String)),
    service_tier LowCardinality(Nullable(String)),
    region LowCardinality(Nullable(String)),

    -- The price of one of each quantity, and the cost.
    input_tokens_price_usd Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    input_audio_tokens_price_usd Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    input_image_tokens_price_usd Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    input_video_tokens_price_usd Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    cache_read_tokens_price_usd Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    cache_read_audio_tokens_price_usd Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    cache_read_image_tokens_price_usd Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    cache_write_5m_tokens_price_usd Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    cache_write_1h_tokens_price_usd Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    output_tokens_price_usd Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    output_audio_tokens_price_usd Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    output_image_tokens_price_usd Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    output_video_tokens_price_usd Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    reasoning_tokens_price_usd Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    unit_prices Array(
        Tuple(
            unit LowCardinality(String),
            quantity Decimal(38, 9),
            price_usd Nullable(Decimal(38, 18))
        )
    ) CODEC(ZSTD(1)),
    input_cost_usd Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    cache_read_cost_usd Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    cache_write_cost_usd Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    output_cost_usd Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    units_cost_usd Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    list_cost_usd Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    cost_usd Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    cost_low_usd Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    cost_high_usd Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    cost_status LowCardinality(Nullable(String)),
    cost_reason LowCardinality(Nullable(String)),
    blind_to Array(LowCardinality(String)) CODEC(ZSTD(1)),
    price_source LowCardinality(Nullable(String)),
    contract LowCardinality(Nullable(String)),
    supplied_cost_usd Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    supplied_cost_source LowCardinality(Nullable(String)),

    -- What the set of spans decides.
    rating_revision UInt16,
    spans_in_set UInt64,
    own_version Decimal(38, 0) CODEC(ZSTD(1)),
    set_version Decimal(38, 0) CODEC(ZSTD(1)),
    conversation_id String CODEC(ZSTD(1)),
    billed Bool,
    rejected_as LowCardinality(Nullable(String)),
    billed_instead_trace_id Nullable(String) CODEC(ZSTD(1)),
    billed_instead Nullable(String) CODEC(ZSTD(1)),
    attempt Nullable(UInt16),
    retry_of Nullable(String) CODEC(ZSTD(1)),
    fallback_from LowCardinality(Nullable(String)),
    is_failed Bool,
    is_waste Bool,
    turn Nullable(UInt32),

    -- The fuller trace, then the fuller set: sums over the versions of spans, which grow with every
    -- span that is added, replaced or rated again, so the last state wins whoever wrote it when.
    version UInt256 MATERIALIZED
        bitOr(bitShiftLeft(toUInt256(own_version), 128), toUInt256(set_version)) CODEC(ZSTD(1)),
    stored_at DateTime('UTC') DEFAULT now('UTC') CODEC(Delta(4), ZSTD(1)),

    -- Dashboards ask for a range of time; calls of one time are stored together.
    INDEX started_at started_at TYPE minmax GRANULARITY 1
)
-- Computed again, a row replaces itself; nothing is added up.
ENGINE = ReplacingMergeTree(version)
-- Not partitioned: what a row is replaced by must lie in its partition, and a time may move.
ORDER BY (tenant, trace_id, span_id)
SETTINGS
    -- The default is 0 (off). An optimisation: the client may post a block twice unseen.
    non_replicated_deduplication_window = 1000,
    -- Derived rows that a power cut takes are computed again from `spans`: no fsync.
    fsync_after_insert = 0,
    fsync_part_directory = 0;
