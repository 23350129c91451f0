-- Every span of a conversation's traces. By trace, which is what `spans` is sorted by.
SELECT * EXCEPT (stored_at)
FROM spans FINAL
WHERE (tenant, trace_id) IN
(
    SELECT tenant, trace_id
    FROM traces FINAL
    WHERE tenant = {tenant:String} AND conversation_id = {conversation_id:String}
)
ORDER BY started_at, trace_id, span_id
