-- The prices that the server rates with, for dashboards and for asking what another model would
-- have cost. A load is one block with one `loaded_at`, as in `plans`.
CREATE TABLE IF NOT EXISTS prices
(
    provider LowCardinality(String),
    model String CODEC(ZSTD(1)),
    unit LowCardinality(String),
    -- Sorted key=value pairs, comma separated: processing=batch. Empty for the plain price.
    context LowCardinality(String),
    -- Applies to requests with more than so many input tokens.
    above_input_tokens UInt64,
    valid_from Nullable(DateTime64(9, 'UTC')),
    valid_until Nullable(DateTime64(9, 'UTC')),
    price_usd Decimal(38, 18),
    source String CODEC(ZSTD(1)),
    loaded_at DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC')
)
-- Read a model at a time, of the latest load.
ENGINE = ReplacingMergeTree
ORDER BY (
    loaded_at, provider, model, unit, context, above_input_tokens,
    -- A key holds no null: from the beginning of time.
    ifNull(valid_from, toDateTime64(0, 9, 'UTC'))
)
SETTINGS
    -- As in `plans`.
    non_replicated_deduplication_window = 0;
