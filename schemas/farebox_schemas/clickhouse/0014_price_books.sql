-- Which price book was in force since when: a span that started before may have been rated by an
-- earlier one, and keeps that rating when it is sent again.
CREATE TABLE IF NOT EXISTS price_books
(
    -- Another text where some price or alias may be another.
    price_book String,
    loaded_at DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC')
)
-- A row whenever another book is loaded; read whole.
ENGINE = ReplacingMergeTree
ORDER BY loaded_at
SETTINGS
    -- As in `plans`: a book that is put back is a new load.
    non_replicated_deduplication_window = 0,
    fsync_after_insert = 1,
    fsync_part_directory = 1;
