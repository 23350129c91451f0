-- The latest rating revision: of a repricing that is on record, or that broke off before that.
SELECT greatest(
    1,
    (SELECT max(rating_revision) FROM rating_revisions),
    (SELECT max(rating_revision) FROM spans)
) AS rating_revision
