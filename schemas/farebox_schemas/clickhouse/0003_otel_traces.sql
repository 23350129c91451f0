-- The evidence: spans as they came, with the names and types of the collector's ClickHouse
-- exporter, so that views and dashboards made for those work unchanged. Short retention: what costs
-- are computed from is in `spans`.
CREATE TABLE IF NOT EXISTS otel_traces
(
    Timestamp DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    TraceId String CODEC(ZSTD(1)),
    SpanId String CODEC(ZSTD(1)),
    ParentSpanId String CODEC(ZSTD(1)),
    TraceState String CODEC(ZSTD(1)),
    SpanName LowCardinality(String) CODEC(ZSTD(1)),
    SpanKind LowCardinality(String) CODEC(ZSTD(1)),
    ServiceName LowCardinality(String) CODEC(ZSTD(1)),
    ResourceAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    ScopeName String CODEC(ZSTD(1)),
    ScopeVersion String CODEC(ZSTD(1)),
    SpanAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    Duration UInt64 CODEC(ZSTD(1)),
    StatusCode LowCardinality(String) CODEC(ZSTD(1)),
    StatusMessage String CODEC(ZSTD(1)),
    Events Nested
    (
        Timestamp DateTime64(9, 'UTC'),
        Name LowCardinality(String),
        Attributes Map(LowCardinality(String), String)
    ) CODEC(ZSTD(1)),
    Links Nested
    (
        TraceId String,
        SpanId String,
        TraceState String,
        Attributes Map(LowCardinality(String), String)
    ) CODEC(ZSTD(1)),

    -- Beyond the exporter's: what dashboards group by. A typed column is read 15 to 20 times faster
    -- than a key of the map.
    TenantId LowCardinality(String) CODEC(ZSTD(1)),
    ConversationId String CODEC(ZSTD(1)),
    Model LowCardinality(Nullable(String)) CODEC(ZSTD(1)),
    Provider LowCardinality(Nullable(String)) CODEC(ZSTD(1)),
    CostUsd Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    CostStatus LowCardinality(Nullable(String)) CODEC(ZSTD(1)),
    InputTokens Nullable(Int64) CODEC(T64, ZSTD(1)),
    OutputTokens Nullable(Int64) CODEC(T64, ZSTD(1)),

    -- A trace and a conversation are looked up by id, and neither leads the key. The exporter's
    -- indexes on the maps' keys and values are left out: they more than halve the insert rate.
    INDEX idx_trace_id TraceId TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX idx_conversation_id ConversationId TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX idx_duration Duration TYPE minmax GRANULARITY 1
)
-- A request that is delivered again has the same time and service, so here both may be in the key.
ENGINE = ReplacingMergeTree
-- By day, as the exporter: the short retention drops whole parts.
PARTITION BY toDate(Timestamp)
-- The exporter's order with the tenant before it; the ids at the end tell spans apart and are not
-- worth memory in the primary key.
PRIMARY KEY (TenantId, ServiceName, SpanName, toDateTime(Timestamp))
ORDER BY (TenantId, ServiceName, SpanName, toDateTime(Timestamp), TraceId, SpanId)
TTL toDateTime(Timestamp) + INTERVAL 30 DAY
SETTINGS
    ttl_only_drop_parts = 1,
    -- The default is 0 (off). An optimisation: the client may post a block twice unseen.
    non_replicated_deduplication_window = 1000,
    -- Written in the same step as `spans`, before the sender is acknowledged.
    fsync_after_insert = 1,
    fsync_part_directory = 1;
