-- The truth: one row per span that was acknowledged, with what the span says alone. Everything
-- else can be computed from here, so this is the table to keep, to back up and to replicate.
CREATE TABLE IF NOT EXISTS spans
(
    -- Identity. Hexadecimal text, as every other tool writes it; ZSTD halves it.
    tenant String CODEC(ZSTD(1)),
    trace_id String CODEC(ZSTD(1)),
    span_id String CODEC(ZSTD(1)),
    parent_span_id Nullable(String) CODEC(ZSTD(1)),
    span_name String CODEC(ZSTD(1)),
    service_name LowCardinality(String),
    scope_name LowCardinality(String),
    scope_version LowCardinality(String),

    -- Times. Neighbours of one trace differ little, hence Delta.
    started_at DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    ended_at DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    start_unix_nano UInt64 CODEC(Delta(8), ZSTD(1)),
    end_unix_nano UInt64 CODEC(Delta(8), ZSTD(1)),
    duration_ns UInt64 CODEC(T64, ZSTD(1)),
    time_status LowCardinality(String),
    status_code UInt8,
    content_hash UInt64 CODEC(NONE),

    -- Who and where. LowCardinality where a deployment has few values, and not for ids.
    environment LowCardinality(Nullable(String)),
    conversation_id Nullable(String) CODEC(ZSTD(1)),
    resource_conversation_id Nullable(String) CODEC(ZSTD(1)),
    conversation_ended Nullable(Bool),
    turn_id Nullable(String) CODEC(ZSTD(1)),
    user_id Nullable(String) CODEC(ZSTD(1)),
    user_tier LowCardinality(Nullable(String)),
    feature LowCardinality(Nullable(String)),
    action LowCardinality(Nullable(String)),
    outcome LowCardinality(Nullable(String)),
    conversation_type LowCardinality(Nullable(String)),
    -- The configured dimensions that the span names. One column: a deployment adds a name without a
    -- migration, and one that has none stores only empty maps, a few bytes a granule. Names
    -- are few, so a dictionary; an absent name reads as ''.
    dimensions Map(LowCardinality(String), String) CODEC(ZSTD(1)),

    -- What kind of span.
    dialect LowCardinality(Nullable(String)),
    call_kind LowCardinality(Nullable(String)),
    candidate Bool,
    operation LowCardinality(Nullable(String)),
    provider LowCardinality(Nullable(String)),
    request_model LowCardinality(Nullable(String)),
    response_model LowCardinality(Nullable(String)),
    model LowCardinality(Nullable(String)),
    response_id Nullable(String) CODEC(ZSTD(1)),
    tool_name LowCardinality(Nullable(String)),
    ends_in_tool_call Nullable(Bool),
    is_error Nullable(Bool),
    error_type LowCardinality(Nullable(String)),

    -- How much. Null is "the span does not say". Counts are small: T64 drops the empty bits.
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
    has_usage Bool,
    invalid_usage UInt16,
    uncertainty Array(LowCardinality(String)) CODEC(ZSTD(1)),
    blind_to Array(LowCardinality(String)) CODEC(ZSTD(1)),

    -- Under which terms.
    service_tier LowCardinality(Nullable(String)),
    price_context LowCardinality(Nullable(String)),
    region LowCardinality(Nullable(String)),
    supplied_cost_usd Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    supplied_cost_source LowCardinality(Nullable(String)),
    price_rule LowCardinality(Nullable(String)),

    -- The price of one of each quantity, and the cost. Exact decimals, never floats.
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
    price_source LowCardinality(Nullable(String)),
    contract LowCardinality(Nullable(String)),
    priced_model LowCardinality(Nullable(String)),
    rating_revision UInt16,

    -- Which of several contents of one span stands: the later rating, then the later end, then the
    -- greater hash. Content alone decides, so that any order of arrival ends in the same row.
    -- The upper 48 bits of the hash, which sort as the whole hash does.
    version UInt128 MATERIALIZED bitOr(
        bitOr(
            bitShiftLeft(toUInt128(rating_revision), 112),
            bitShiftLeft(toUInt128(end_unix_nano), 48)
        ),
        toUInt128(bitShiftRight(content_hash, 16))
    ) CODEC(ZSTD(1)),
    -- For information and for finding what arrived lately; not in key, version or partition.
    stored_at DateTime('UTC') DEFAULT now('UTC') CODEC(Delta(4), ZSTD(1)),

    -- Repair asks for what was stored lately. Parts are written in that order, so the ranges of
    -- granules hardly overlap and nearly all are skipped.
    INDEX stored_at stored_at TYPE minmax GRANULARITY 1,
    -- Repair asks which other traces have a call with the same response id; one false hit in 100.
    INDEX response_id response_id TYPE bloom_filter(0.01) GRANULARITY 1
)
-- A span sent again replaces itself; nothing is added up.
ENGINE = ReplacingMergeTree(version)
-- By month, for retention and to bound a merge. The start time is content: a span sent again lies
-- in the same month. Two contents of one span may lie in two months, so read FINAL across
-- partitions (do_not_merge_across_partitions_select_final = 0).
PARTITION BY toYYYYMM(started_at)
-- Identity only. The conversation, the model and the time may be learned late or differ between
-- two contents of a span; in the key they would leave both. Spans are read by trace.
ORDER BY (tenant, trace_id, span_id)
SETTINGS
    -- The default is 0 (off). An optimisation: the client may post a block twice unseen.
    non_replicated_deduplication_window = 1000,
    -- A sender is acknowledged when this table has its rows: they must survive a power cut.
    fsync_after_insert = 1,
    fsync_part_directory = 1;
