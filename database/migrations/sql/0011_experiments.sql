CREATE FUNCTION experiment_bucket(p_experiment text, p_user text) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (('x' || left(encode(sha256(convert_to(p_experiment || ':' || p_user, 'UTF8')), 'hex'), 8))
        ::bit(32)::bigint % 10000)::integer;
COMMENT ON FUNCTION experiment_bucket(text, text) IS
  'Bucket of a user in an experiment, 0 to 9999: the first 32 bits of SHA-256 of '
  'experiment:user (UTF-8), modulo 10000.';

CREATE FUNCTION wilson_bound(p_hits bigint, p_of bigint, p_z double precision)
RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
-- Wilson 1927; Newcombe 1998 (Statistics in Medicine 17, 857-872), method 3.
RETURN (p_hits::double precision + p_z * p_z / 2
        + p_z * sqrt(p_hits * (1 - p_hits::double precision / nullif(p_of, 0)) + p_z * p_z / 4))
       / (nullif(p_of, 0) + p_z * p_z);
COMMENT ON FUNCTION wilson_bound(bigint, bigint, double precision) IS
  'Bound of the Wilson score interval of a share, hits out of so many: the upper one for z, the '
  'lower one for -z. z of 1.959964 is 95 %. NULL out of none.';

CREATE VIEW experiment_results AS
WITH sums AS (
  SELECT v.experiment, v.variant, v.place,
         coalesce(sum(o.impressions), 0)::bigint AS impressions,
         coalesce(sum(o.plays), 0)::bigint AS plays,
         coalesce(sum(o.completes), 0)::bigint AS completes,
         coalesce(sum(o.skips), 0)::bigint AS skips,
         coalesce(sum(o.likes), 0)::bigint AS likes
    FROM experiment_variants AS v
    LEFT JOIN recommendation_outcomes AS o ON o.variant = v.experiment || ':' || v.variant
   GROUP BY v.experiment, v.variant, v.place
), rates AS (
  SELECT s.*, s.plays::double precision / nullif(s.impressions, 0) AS click_through,
         wilson_bound(s.plays, s.impressions, -1.959964) AS low,
         wilson_bound(s.plays, s.impressions, 1.959964) AS high
    FROM sums AS s
)
SELECT r.experiment, r.variant, r.place, r.impressions, r.plays, r.completes, r.skips, r.likes,
       r.click_through, r.low, r.high,
       r.click_through - c.click_through AS difference,
       r.click_through - c.click_through
         - sqrt(power(r.click_through - r.low, 2) + power(c.high - c.click_through, 2))
         AS difference_low,
       r.click_through - c.click_through
         + sqrt(power(r.high - r.click_through, 2) + power(c.click_through - c.low, 2))
         AS difference_high
  FROM rates AS r
  LEFT JOIN rates AS c ON c.experiment = r.experiment AND c.place = 1 AND r.place > 1;
COMMENT ON VIEW experiment_results IS
  'What came of each variant of an experiment, with intervals of 95 %, as if impressions were '
  'independent: Wilson''s of a rate, Newcombe''s (1998, method 10) of the difference to the first '
  'variant. One row an experiment and variant.';

CREATE VIEW click_through_drift AS
WITH hours AS (
  SELECT o.hour, sum(o.impressions)::bigint AS impressions, sum(o.plays)::bigint AS plays
    FROM recommendation_outcomes AS o
   WHERE o.hour >= (SELECT max(n.hour) FROM recommendation_outcomes AS n) - interval '26 hours'
   GROUP BY o.hour
), newest AS (
  SELECT h.* FROM hours AS h
   WHERE h.hour <= (SELECT max(n.hour) FROM hours AS n) - interval '2 hours'
   ORDER BY h.hour DESC LIMIT 1
), earlier AS (
  SELECT sum(h.impressions)::bigint AS impressions, sum(h.plays)::bigint AS plays
    FROM hours AS h JOIN newest AS n ON h.hour < n.hour
), bounds AS (
  SELECT n.hour, n.impressions, n.plays::double precision / nullif(n.impressions, 0) AS rate,
         e.impressions AS earlier_impressions,
         e.plays::double precision / nullif(e.impressions, 0) AS earlier_rate,
         wilson_bound(n.plays, n.impressions, 1.959964) AS high,
         wilson_bound(e.plays, e.impressions, -1.959964) AS earlier_low
    FROM newest AS n CROSS JOIN earlier AS e
   WHERE e.impressions > 0
)
SELECT b.hour, b.impressions, b.rate AS click_through, b.earlier_impressions,
       b.earlier_rate AS earlier_click_through, b.rate - b.earlier_rate AS difference,
       b.rate - b.earlier_rate
         + sqrt(power(b.high - b.rate, 2) + power(b.earlier_rate - b.earlier_low, 2))
         AS difference_high
  FROM bounds AS b;
COMMENT ON VIEW click_through_drift IS
  'Click-through of the newest full hour against the up to 24 hours before it. Full is an hour that '
  'ended an hour before the newest one began, since plays follow. It has fallen where '
  'difference_high is below 0. One row, or none without hours to compare.';

COMMENT ON COLUMN experiment_results.experiment IS 'Which experiment';
COMMENT ON COLUMN experiment_results.variant IS 'Which variant';
COMMENT ON COLUMN experiment_results.place IS '1 is what the others are compared with';
COMMENT ON COLUMN experiment_results.impressions IS 'Items shown';
COMMENT ON COLUMN experiment_results.plays IS 'Impressions that a play followed';
COMMENT ON COLUMN experiment_results.completes IS 'Of these plays: complete ones';
COMMENT ON COLUMN experiment_results.skips IS 'Of these plays: skips';
COMMENT ON COLUMN experiment_results.likes IS 'Impressions that a like followed';
COMMENT ON COLUMN experiment_results.click_through IS 'Plays / impressions';
COMMENT ON COLUMN experiment_results.low IS 'Lower bound of click_through';
COMMENT ON COLUMN experiment_results.high IS 'Upper bound of click_through';
COMMENT ON COLUMN experiment_results.difference IS
  'click_through less that of the first variant; NULL for itself';
COMMENT ON COLUMN experiment_results.difference_low IS 'Lower bound of difference';
COMMENT ON COLUMN experiment_results.difference_high IS 'Upper bound of difference';
COMMENT ON COLUMN click_through_drift.hour IS 'The newest full hour, UTC';
COMMENT ON COLUMN click_through_drift.impressions IS 'Items shown in it';
COMMENT ON COLUMN click_through_drift.click_through IS 'Plays / impressions of it';
COMMENT ON COLUMN click_through_drift.earlier_impressions IS 'Items shown before it';
COMMENT ON COLUMN click_through_drift.earlier_click_through IS 'Plays / impressions of these';
COMMENT ON COLUMN click_through_drift.difference IS 'How much click_through has risen';
COMMENT ON COLUMN click_through_drift.difference_high IS
  'Upper bound of difference, 95 %, as if impressions were independent (Newcombe)';

-- A list of another run than the published one, as it was made: for variants of an experiment.
DROP FUNCTION recommendations_for(text, integer, text, text[], boolean);
CREATE FUNCTION recommendations_for(p_user text, p_n integer DEFAULT 10, p_genre text DEFAULT NULL,
                                    p_exclude text[] DEFAULT '{}',
                                    p_known boolean DEFAULT false,
                                    p_run bigint DEFAULT NULL)
RETURNS TABLE (rank integer, item_id text, score double precision, source text, reason text)
LANGUAGE sql STABLE ROWS 50
AS $$
WITH live AS MATERIALIZED (
  SELECT l.item_ids, l.scores, l.sources, l.reasons
    FROM live_recommendations AS l
   WHERE l.user_id = p_user AND p_run IS NULL
     AND l.model_run_id = (SELECT p.model_run_id FROM published_run AS p)
), listed AS (
  SELECT e.position, e.item_id, e.score, e.source, e.reason
    FROM live AS l
   CROSS JOIN unnest(l.item_ids, l.scores, l.sources, l.reasons)
         WITH ORDINALITY AS e (item_id, score, source, reason, position)
   UNION ALL
  SELECT r.rank, r.item_id, r.score, r.source, r.reason
    FROM recommendations AS r
   WHERE r.model_run_id = coalesce(p_run, (SELECT p.model_run_id FROM published_run AS p))
     AND r.user_id = p_user
     AND r.source NOT IN ('genre', 'trending', 'popular') -- fallback_for says it as of now
     AND NOT EXISTS (SELECT FROM live)
), personal AS MATERIALIZED (
  SELECT (row_number() OVER (ORDER BY r.position))::integer AS rank, r.item_id, r.score, r.source,
         r.reason
    FROM listed AS r
   WHERE NOT EXISTS (SELECT FROM user_item_affinity AS k
                      WHERE k.user_id = p_user AND k.item_id = r.item_id
                        AND NOT p_known)
     AND (p_genre IS NULL
          OR EXISTS (SELECT FROM item_genres AS w
                      WHERE w.item_id = r.item_id AND w.genre = p_genre))
     AND r.item_id <> ALL (p_exclude)
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
                    p_exclude || ARRAY(SELECT p.item_id FROM personal AS p),
                    p_genre, p_known) AS f
 WHERE (SELECT h.items FROM had AS h) < p_n
 ORDER BY 1
$$;
COMMENT ON FUNCTION recommendations_for(text, integer, text, text[], boolean, bigint) IS
  'Recommendations for any user, known or not: the personal list of the published run, made anew '
  'since where the user did something, without what the user has come to know since, filled up to '
  'p_n by fallback_for. Of p_genre only where one is given, without p_exclude; with p_known, what '
  'the user has come to know may be in it. With p_run, of that run, as it was made.';

CREATE FUNCTION lists_shown(p_n integer)
RETURNS TABLE (user_id text, variant text, model_run_id bigint, item_ids text[], sources text[])
LANGUAGE sql STABLE
AS $$
WITH running AS MATERIALIZED (
  SELECT v.* FROM experiment_variants AS v JOIN experiments AS e ON e.name = v.experiment
   WHERE e.stopped_at IS NULL
), published AS MATERIALIZED (
  SELECT p.model_run_id FROM published_run AS p
), assigned AS MATERIALIZED (
  SELECT u.user_id, v.experiment || ':' || v.variant AS variant, v.model_run_id,
         v.max_per_artist, v.max_per_genre, v.without
    FROM users AS u JOIN running AS v
      ON experiment_bucket(v.experiment, u.user_id) BETWEEN v.bucket_from AND v.bucket_to - 1
), entries AS (
  SELECT l.user_id, l.model_run_id, e.place::integer, e.item_id, e.source
    FROM live_recommendations AS l JOIN published USING (model_run_id)
   CROSS JOIN unnest(l.item_ids, l.sources) WITH ORDINALITY AS e (item_id, source, place)
   WHERE NOT EXISTS (SELECT FROM assigned AS a
                      WHERE a.user_id = l.user_id AND a.model_run_id IS NOT NULL)
   UNION ALL
  SELECT r.user_id, r.model_run_id, r.rank, r.item_id, r.source
    FROM recommendations AS r JOIN published USING (model_run_id)
   WHERE NOT EXISTS (SELECT FROM live_recommendations AS l
                      WHERE l.user_id = r.user_id AND l.model_run_id = r.model_run_id)
     AND NOT EXISTS (SELECT FROM assigned AS a
                      WHERE a.user_id = r.user_id AND a.model_run_id IS NOT NULL)
   UNION ALL
  SELECT r.user_id, r.model_run_id, r.rank, r.item_id, r.source
    FROM recommendations AS r
    JOIN assigned AS a ON a.user_id = r.user_id AND a.model_run_id = r.model_run_id
   WHERE r.model_run_id IN (SELECT v.model_run_id FROM running AS v)
), allowed AS (
  SELECT e.*, a.variant, a.max_per_artist, a.max_per_genre,
         CASE WHEN a.max_per_artist > 0 THEN
           row_number() OVER (PARTITION BY e.user_id, i.artist_id ORDER BY e.place) END
           AS of_artist, i.artist_id,
         CASE WHEN a.max_per_genre > 0 THEN
           row_number() OVER (PARTITION BY e.user_id, g.genre ORDER BY e.place) END
           AS of_genre, g.genre
    FROM entries AS e
    LEFT JOIN assigned AS a USING (user_id)
    LEFT JOIN items AS i ON i.item_id = e.item_id AND a.max_per_artist > 0
    LEFT JOIN item_genres AS g ON g.item_id = e.item_id AND g.position = 1 AND a.max_per_genre > 0
   WHERE a.without IS NULL OR e.source <> ALL (a.without)
), placed AS (
  SELECT a.*, row_number() OVER (PARTITION BY a.user_id ORDER BY a.place) AS position
    FROM allowed AS a
   WHERE (a.of_artist IS NULL OR a.artist_id IS NULL OR a.of_artist <= a.max_per_artist)
     AND (a.of_genre IS NULL OR a.genre IS NULL OR a.of_genre <= a.max_per_genre)
)
SELECT p.user_id, min(p.variant), min(p.model_run_id), array_agg(p.item_id ORDER BY p.position),
       array_agg(p.source ORDER BY p.position)
  FROM placed AS p
 WHERE p.position <= p_n
 GROUP BY p.user_id
$$;
COMMENT ON FUNCTION lists_shown(integer) IS
  'What each user who has a list is shown of it, by the variant that the user has in the running '
  'experiment: live lists, else those of the published run, or of the run of the variant. What has '
  'become known since is left in. For everybody at once; recommendations_for is for one.';
