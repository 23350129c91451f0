-- One row per trace, derived from its whole set of spans. The conversation is a column and not part
-- of the key: learned late, it moves the trace instead of doubling it.
CREATE TABLE IF NOT EXISTS traces
(
    -- Identity and version.
    tenant String CODEC(ZSTD(1)),
    trace_id String CODEC(ZSTD(1)),
    rating_revision UInt16,
    spans_in_set UInt64,
    own_version Decimal(38, 0) CODEC(ZSTD(1)),
    set_version Decimal(38, 0) CODEC(ZSTD(1)),

    -- Which conversation.
    conversation_id String CODEC(ZSTD(1)),
    conversation_id_source LowCardinality(String),
    conversation_ids UInt32,
    worn_response_ids Array(String) CODEC(ZSTD(1)),

    -- Life.
    started_at DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    ended_at DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    conversation_ended Bool,
    outcome LowCardinality(Nullable(String)),

    -- Counts.
    spans UInt64,
    calls UInt64,
    candidates UInt64,
    billed_calls UInt64,
    rejected_calls UInt64,
    failed_calls UInt64,
    unpriced_calls UInt64,
    turns UInt64,
    turn_ids Array(String) CODEC(ZSTD(1)),

    -- How much.
    input_tokens Int64 CODEC(T64, ZSTD(1)),
    input_audio_tokens Int64 CODEC(T64, ZSTD(1)),
    input_image_tokens Int64 CODEC(T64, ZSTD(1)),
    input_video_tokens Int64 CODEC(T64, ZSTD(1)),
    cache_read_tokens Int64 CODEC(T64, ZSTD(1)),
    cache_read_audio_tokens Int64 CODEC(T64, ZSTD(1)),
    cache_read_image_tokens Int64 CODEC(T64, ZSTD(1)),
    cache_write_5m_tokens Int64 CODEC(T64, ZSTD(1)),
    cache_write_1h_tokens Int64 CODEC(T64, ZSTD(1)),
    output_tokens Int64 CODEC(T64, ZSTD(1)),
    output_audio_tokens Int64 CODEC(T64, ZSTD(1)),
    output_image_tokens Int64 CODEC(T64, ZSTD(1)),
    output_video_tokens Int64 CODEC(T64, ZSTD(1)),
    reasoning_tokens Int64 CODEC(T64, ZSTD(1)),
    total_tokens Int64 CODEC(T64, ZSTD(1)),

    -- What it cost.
    cost_usd Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    exact_cost_usd Decimal(38, 18) CODEC(ZSTD(1)),
    cost_low_usd Decimal(38, 18) CODEC(ZSTD(1)),
    cost_high_usd Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    cost_statuses Array(LowCardinality(String)) CODEC(ZSTD(1)),
    tool_cost_usd Decimal(38, 18) CODEC(ZSTD(1)),
    waste_usd Decimal(38, 18) CODEC(ZSTD(1)),
    supplied_cost_usd Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    blind_to Array(LowCardinality(String)) CODEC(ZSTD(1)),
    models Array(LowCardinality(String)) CODEC(ZSTD(1)),

    -- What a cost is grouped by.
    user_id Nullable(String) CODEC(ZSTD(1)),
    user_tier LowCardinality(Nullable(String)),
    feature LowCardinality(Nullable(String)),
    action LowCardinality(Nullable(String)),
    conversation_type LowCardinality(Nullable(String)),
    service_name LowCardinality(Nullable(String)),
    environment LowCardinality(Nullable(String)),
    dimensions Map(LowCardinality(String), String) CODEC(ZSTD(1)),

    -- As in `calls`.
    version UInt256 MATERIALIZED
        bitOr(bitShiftLeft(toUInt256(own_version), 128), toUInt256(set_version)) CODEC(ZSTD(1)),
    stored_at DateTime('UTC') DEFAULT now('UTC') CODEC(Delta(4), ZSTD(1)),

    -- A conversation is looked up by its id, which is not in the key; one false hit in 1000.
    INDEX conversation_id conversation_id TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX started_at started_at TYPE minmax GRANULARITY 1
)
-- Computed again, a row replaces itself; nothing is added up.
ENGINE = ReplacingMergeTree(version)
-- Not partitioned: first and last time move as spans arrive, and FINAL must see all versions.
ORDER BY (tenant, trace_id)
SETTINGS
    -- The default is 0 (off). An optimisation: the client may post a block twice unseen.
    non_replicated_deduplication_window = 1000,
    -- Derived rows that a power cut takes are computed again from `spans`: no fsync.
    fsync_after_insert = 0,
    fsync_part_directory = 0;
