-- When the price book in force took the place of another one, in microseconds; no row where it is
-- the first.
SELECT toUnixTimestamp64Micro(max(loaded_at)) AS changed_at
FROM price_books
HAVING uniqExact(loaded_at) > 1
