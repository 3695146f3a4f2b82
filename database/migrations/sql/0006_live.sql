-- A list that was made since the run by the run's own model goes before the run's.

CREATE FUNCTION live_bucket(p_user text) RETURNS smallint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (hashtext(p_user) & 63)::smallint;
COMMENT ON FUNCTION live_bucket(text) IS
  'Bucket of live_buckets that a user belongs to.';

CREATE OR REPLACE VIEW current_recommendations AS
SELECT r.model_run_id, r.user_id, r.rank, r.item_id, r.score, r.source, r.reason
  FROM recommendations AS r
  JOIN published_run AS p USING (model_run_id)
 WHERE NOT EXISTS (SELECT FROM live_recommendations AS l
                    WHERE l.user_id = r.user_id AND l.model_run_id = p.model_run_id)
UNION ALL
SELECT l.model_run_id, l.user_id, e.position::smallint, e.item_id, e.score, e.source, e.reason
  FROM live_recommendations AS l
  JOIN published_run AS p USING (model_run_id)
 CROSS JOIN unnest(l.item_ids, l.scores, l.sources, l.reasons)
       WITH ORDINALITY AS e (item_id, score, source, reason, position);
COMMENT ON VIEW current_recommendations IS
  'Lists of the published run, each as its model made it last: in the run, or since then for a '
  'user who did something. One row a user and rank.';

CREATE OR REPLACE FUNCTION recommendations_for(p_user text, p_n integer DEFAULT 10)
RETURNS TABLE (rank integer, item_id text, score double precision, source text, reason text)
LANGUAGE sql STABLE ROWS 50
AS $$
WITH live AS MATERIALIZED (
  SELECT l.item_ids, l.scores, l.sources, l.reasons
    FROM live_recommendations AS l
   WHERE l.user_id = p_user
     AND l.model_run_id = (SELECT p.model_run_id FROM published_run AS p)
), listed AS (
  SELECT e.position, e.item_id, e.score, e.source, e.reason
    FROM live AS l
   CROSS JOIN unnest(l.item_ids, l.scores, l.sources, l.reasons)
         WITH ORDINALITY AS e (item_id, score, source, reason, position)
   UNION ALL
  SELECT r.rank, r.item_id, r.score, r.source, r.reason
    FROM recommendations AS r
   WHERE r.model_run_id = (SELECT p.model_run_id FROM published_run AS p)
     AND r.user_id = p_user
     AND r.source NOT IN ('genre', 'trending', 'popular') -- fallback_for says it as of now
     AND NOT EXISTS (SELECT FROM live)
), personal AS MATERIALIZED (
  SELECT (row_number() OVER (ORDER BY r.position))::integer AS rank, r.item_id, r.score, r.source,
         r.reason
    FROM listed AS r
   WHERE NOT EXISTS (SELECT FROM user_item_affinity AS k
                      WHERE k.user_id = p_user AND k.item_id = r.item_id)
   ORDER BY r.position
   LIMIT greatest(p_n, 0)
), had AS (
  SELECT count(*)::integer AS items FROM personal
)
SELECT p.rank, p.item_id, p.score, p.source, p.reason
  FROM personal AS p
UNION ALL
SELECT f.rank + (SELECT h.items FROM had AS h), f.item_id, f.score, f.source, f.reason
  FROM fallback_for(p_user, p_n - (SELECT h.items FROM had AS h),
                    ARRAY(SELECT p.item_id FROM personal AS p)) AS f
 WHERE (SELECT h.items FROM had AS h) < p_n
 ORDER BY 1
$$;
COMMENT ON FUNCTION recommendations_for(text, integer) IS
  'Recommendations for any user, known or not: the personal list of the published run, made anew '
  'since where the user did something, without what the user has come to know since, filled up to '
  'p_n by fallback_for.';
