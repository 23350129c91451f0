-- What was not taken, and why. Never read by the processor: for people.
CREATE TABLE IF NOT EXISTS dead_letter
(
    tenant String,
    reason LowCardinality(String),
    -- The table that refused the row; empty for what never became a row.
    refused_by LowCardinality(String),
    trace_id String CODEC(ZSTD(1)),
    span_id String CODEC(ZSTD(1)),
    detail String CODEC(ZSTD(3)),
    -- At most 4 KiB, without message contents.
    sample String CODEC(ZSTD(3)),
    sample_hash UInt64 MATERIALIZED cityHash64(sample),
    rejected_at DateTime('UTC') DEFAULT now('UTC')
)
-- What is sent again is rejected again: one row all the same.
ENGINE = ReplacingMergeTree
ORDER BY (tenant, reason, trace_id, span_id, sample_hash)
TTL rejected_at + INTERVAL 90 DAY
SETTINGS non_replicated_deduplication_window = 1000;
