-- Which migrations a database has had, and what they said. `farebox migrate` reads and writes it.
CREATE TABLE IF NOT EXISTS schema_migrations
(
    version UInt32,
    name String,
    -- Of the file's text: an edited file is refused, since what it says now was never applied.
    checksum FixedString(64),
    applied_at DateTime('UTC') DEFAULT now('UTC')
)
-- Two servers that start together may both record a migration; they record the same.
ENGINE = ReplacingMergeTree
ORDER BY version;
