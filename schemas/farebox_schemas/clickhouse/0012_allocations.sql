-- Shared costs (a GPU hour, storage of a cache, an index that is refreshed), cut into what each
-- conversation bears. Kept apart from what calls cost: an allocation follows a rule, not a bill.
-- One block per allocation with one `loaded_at`; allocated again, only the latest block counts.
CREATE TABLE IF NOT EXISTS allocations
(
    allocation_id String,
    tenant String CODEC(ZSTD(1)),
    -- Both empty in the one row of what is allocated to nobody.
    conversation_id String CODEC(ZSTD(1)),
    is_unallocated Bool,
    amount_usd Decimal(38, 18) CODEC(ZSTD(1)),
    period_from DateTime64(9, 'UTC'),
    period_until DateTime64(9, 'UTC'),
    allocated_by LowCardinality(String),
    -- What the rows of the block sum to.
    origin_usd Decimal(38, 18),
    -- Constant within an insert, which is what makes a block one whole.
    loaded_at DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC')
)
-- Earlier blocks go as parts are merged, save rows of conversations that bear nothing any more:
-- readers take the latest block of each allocation.
ENGINE = ReplacingMergeTree(loaded_at)
ORDER BY (allocation_id, tenant, conversation_id, is_unallocated)
SETTINGS
    -- As in `plans`: what is put back must not be taken for a repeat.
    non_replicated_deduplication_window = 0,
    fsync_after_insert = 1,
    fsync_part_directory = 1;

-- The rows that count.
CREATE VIEW IF NOT EXISTS allocations_in_force AS
SELECT *
FROM allocations FINAL
WHERE (allocation_id, loaded_at) IN
(
    SELECT allocation_id, max(loaded_at) FROM allocations GROUP BY allocation_id
);

-- What became of each shared cost: allocated and unallocated sum to its origin.
CREATE VIEW IF NOT EXISTS allocation_totals AS
SELECT
    allocation_id,
    any(a.period_from) AS period_from,
    any(a.period_until) AS period_until,
    any(a.allocated_by) AS allocated_by,
    any(a.origin_usd) AS origin_usd,
    countIf(NOT a.is_unallocated) AS conversations,
    sumIf(a.amount_usd, NOT a.is_unallocated) AS allocated_usd,
    sumIf(a.amount_usd, a.is_unallocated) AS unallocated_usd
FROM allocations_in_force AS a
GROUP BY allocation_id;

-- Conversations with what they bear of shared costs, beside what they cost directly.
CREATE VIEW IF NOT EXISTS conversations_with_allocations AS
SELECT
    * EXCEPT (borne_usd),
    ifNull(borne_usd, toDecimal128(0, 18)) AS allocated_cost_usd,
    cost_usd + allocated_cost_usd AS full_cost_usd,
    revenue_usd - full_cost_usd AS full_margin_usd
FROM conversations
LEFT JOIN
(
    SELECT tenant, conversation_id, sum(amount_usd) AS borne_usd
    FROM allocations_in_force
    WHERE NOT is_unallocated
    GROUP BY tenant, conversation_id
) AS borne USING (tenant, conversation_id);
