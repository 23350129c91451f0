-- What conversations used and cost in a period, by all that a shared cost can ask for.
SELECT
    tenant,
    conversation_id,
    model,
    user_id,
    user_tier,
    feature,
    action,
    conversation_type,
    service_name,
    environment,
    dimensions,
    sum(c.input_tokens) AS input_tokens,
    sum(c.input_audio_tokens) AS input_audio_tokens,
    sum(c.input_image_tokens) AS input_image_tokens,
    sum(c.input_video_tokens) AS input_video_tokens,
    sum(c.cache_read_tokens) AS cache_read_tokens,
    sum(c.cache_read_audio_tokens) AS cache_read_audio_tokens,
    sum(c.cache_read_image_tokens) AS cache_read_image_tokens,
    sum(c.cache_write_5m_tokens) AS cache_write_5m_tokens,
    sum(c.cache_write_1h_tokens) AS cache_write_1h_tokens,
    sum(c.output_tokens) AS output_tokens,
    sum(c.output_audio_tokens) AS output_audio_tokens,
    sum(c.output_image_tokens) AS output_image_tokens,
    sum(c.output_video_tokens) AS output_video_tokens,
    sum(c.reasoning_tokens) AS reasoning_tokens,
    sum(c.cost_usd) AS cost_usd
FROM calls AS c FINAL
WHERE c.billed
    AND c.started_at >= {starts:DateTime64(6, 'UTC')}
    AND c.started_at < {ends:DateTime64(6, 'UTC')}
GROUP BY
    tenant, conversation_id, model,
    user_id, user_tier, feature, action, conversation_type, service_name, environment, dimensions
