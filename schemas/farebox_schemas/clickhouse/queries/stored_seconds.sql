-- How many spans were stored in each second, of those that were stored at least so long ago that
-- whoever stored them has rolled them up, if it could.
SELECT stored_at, count() AS spans
FROM spans
WHERE stored_at >= ifNull({since:Nullable(DateTime('UTC'))}, now('UTC') - {horizon_s:UInt32})
    AND stored_at <= now('UTC') - {settled_s:UInt32}
GROUP BY stored_at
ORDER BY stored_at
