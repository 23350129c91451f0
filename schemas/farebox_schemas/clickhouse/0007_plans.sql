-- The tiers that conversations are sold in. The server writes its plans here when they differ from
-- the last ones; a load is one block with one `loaded_at`, and only the latest counts. Earlier
-- loads stay, to tell what a tier once cost.
CREATE TABLE IF NOT EXISTS plans
(
    plan String,
    tenant String,
    feature String,
    position UInt16,
    tier LowCardinality(String),
    price_usd Decimal(38, 18),
    turns_below Nullable(UInt64),
    tokens_below Nullable(UInt64),
    -- The rest of the plan, the same on each of its tiers: a load stays one block.
    actions Array(
        Tuple(
            action LowCardinality(String),
            -- What tells that a conversation is of this action.
            dimension LowCardinality(String),
            value String,
            price_usd Decimal(38, 18),
            charged LowCardinality(String)
        )
    ),
    success_outcomes Array(String),
    flat_fee_usd Nullable(Decimal(38, 18)),
    included_conversations Nullable(UInt64),
    overage_price_usd Nullable(Decimal(38, 18)),
    idle_timeout_s Nullable(UInt32),
    -- Constant within an insert, which is what makes a load one whole.
    loaded_at DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC')
)
-- A few rows a load; the same load written twice is one.
ENGINE = ReplacingMergeTree
ORDER BY (loaded_at, tenant, feature, position)
SETTINGS
    -- Plans that are put back are a new load with the same rows: it must not be taken for a repeat.
    non_replicated_deduplication_window = 0,
    fsync_after_insert = 1,
    fsync_part_directory = 1;
