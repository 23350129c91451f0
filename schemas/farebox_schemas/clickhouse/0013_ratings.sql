-- What spans cost before they were rated again: `spans` keeps the latest rating of a span only.
CREATE TABLE IF NOT EXISTS superseded_ratings
(
    tenant LowCardinality(String),
    trace_id String CODEC(ZSTD(1)),
    span_id String CODEC(ZSTD(1)),
    started_at DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),
    priced_model LowCardinality(Nullable(String)),
    cost_usd Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    cost_low_usd Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    cost_high_usd Nullable(Decimal(38, 18)) CODEC(ZSTD(1)),
    cost_status LowCardinality(Nullable(String)),
    cost_reason LowCardinality(Nullable(String)),
    price_source LowCardinality(Nullable(String)),
    contract LowCardinality(Nullable(String)),
    rating_revision UInt16,
    superseded_by UInt16
)
-- A span has one rating per revision: a repricing that is run again after a crash repeats its rows.
ENGINE = ReplacingMergeTree
ORDER BY (tenant, trace_id, span_id, rating_revision)
SETTINGS
    -- As in `spans`.
    non_replicated_deduplication_window = 0,
    fsync_after_insert = 1,
    fsync_part_directory = 1;

-- Which spans were rated again, when, with which price book, and what that changed.
CREATE TABLE IF NOT EXISTS rating_revisions
(
    rating_revision UInt16,
    price_book String,
    since Nullable(DateTime64(9, 'UTC')),
    until Nullable(DateTime64(9, 'UTC')),
    only_tenant Nullable(String),
    only_model Nullable(String),
    spans UInt64,
    cost_before_usd Nullable(Decimal(38, 18)),
    cost_after_usd Nullable(Decimal(38, 18)),
    rated_at DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC')
)
-- Read from the first to the last, all of them: there are few.
ENGINE = ReplacingMergeTree(rated_at)
ORDER BY rating_revision
SETTINGS
    -- As in `plans`.
    non_replicated_deduplication_window = 0;
