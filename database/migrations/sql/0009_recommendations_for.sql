-- What a caller may ask for beside the length of a list: one genre, without some items, and with
-- what the user knows. Without that, both functions answer as before, and as fast: p_known stands
-- inside NOT EXISTS, since beside it, by OR, it would keep the planner from joining.

DROP FUNCTION recommendations_for(text, integer);
DROP FUNCTION fallback_for(text, integer, text[]);

CREATE FUNCTION fallback_for(p_user text, p_n integer, p_taken text[] DEFAULT '{}',
                             p_genre text DEFAULT NULL, p_known boolean DEFAULT false)
RETURNS TABLE (rank integer, item_id text, score double precision, source text, reason text)
LANGUAGE sql STABLE ROWS 50
AS $$
-- Each step runs only as far as the ones before it left room. Scores are decayed popularity
-- relative to the hottest item of the step: two heats differ by log2 of the ratio of the scores.
WITH liked AS MATERIALIZED (
  SELECT a.genre, a.signal / sum(a.signal) OVER () AS share
    FROM user_genre_affinity AS a
   WHERE a.user_id = p_user AND a.signal > 0
   ORDER BY a.signal DESC, a.genre
   LIMIT 3
), in_genre AS (
  SELECT DISTINCT ON (h.item_id) h.item_id, l.genre,
         l.share * power(2.0::double precision, greatest(h.heat - h.hottest, -1000)) AS score
    FROM liked AS l
   CROSS JOIN LATERAL (
     SELECT t.item_id, t.heat, max(t.heat) OVER () AS hottest
       FROM (SELECT t.item_id, t.heat
               FROM item_trends AS t
               JOIN item_genres AS g ON g.item_id = t.item_id AND g.genre = l.genre
              WHERE t.country = '' AND t.heat IS NOT NULL
                AND t.item_id <> ALL (p_taken)
                AND NOT EXISTS (SELECT FROM user_item_affinity AS k
                                 WHERE k.user_id = p_user AND k.item_id = t.item_id
                                   AND NOT p_known)
                AND (p_genre IS NULL
                     OR EXISTS (SELECT FROM item_genres AS w
                                 WHERE w.item_id = t.item_id AND w.genre = p_genre))
              ORDER BY t.heat DESC NULLS LAST, t.item_id
              LIMIT p_n) AS t
   ) AS h
   ORDER BY h.item_id, score DESC, l.genre
), by_genre AS MATERIALIZED (
  SELECT 1 AS step, c.item_id, c.score, 'genre' AS source,
         'because you like ' || c.genre AS reason
    FROM in_genre AS c
   ORDER BY c.score DESC, c.item_id
   LIMIT p_n
), by_country AS MATERIALIZED (
  SELECT 2 AS step, t.item_id,
         power(2.0::double precision, greatest(t.heat - max(t.heat) OVER (), -1000)) AS score,
         'trending' AS source, 'trending in ' || t.country AS reason
    FROM (SELECT t.item_id, t.heat, t.country
            FROM item_trends AS t
           WHERE t.country = (SELECT nullif(u.country, '') FROM users AS u
                               WHERE u.user_id = p_user)
             AND t.heat IS NOT NULL
             AND t.item_id <> ALL (p_taken)
             AND t.item_id NOT IN (SELECT b.item_id FROM by_genre AS b)
             AND NOT EXISTS (SELECT FROM user_item_affinity AS k
                              WHERE k.user_id = p_user AND k.item_id = t.item_id
                                AND NOT p_known)
             AND (p_genre IS NULL
                  OR EXISTS (SELECT FROM item_genres AS w
                              WHERE w.item_id = t.item_id AND w.genre = p_genre))
             AND (SELECT count(*) FROM by_genre) < p_n
           ORDER BY t.heat DESC NULLS LAST, t.item_id
           LIMIT p_n) AS t
), nearer AS MATERIALIZED (
  SELECT b.item_id FROM by_genre AS b UNION ALL SELECT b.item_id FROM by_country AS b
), by_decade AS MATERIALIZED (
  SELECT 3 AS step, t.item_id, t.score / max(t.score) OVER () AS score,
         'popular' AS source, 'popular with your age group' AS reason, t.rank AS position
    FROM (SELECT a.item_id, a.score, a.rank
            FROM age_popularity AS a
           WHERE a.birth_decade = (SELECT u.birth_year / 10 * 10 FROM users AS u
                                    WHERE u.user_id = p_user)
             AND a.item_id <> ALL (p_taken)
             AND a.item_id NOT IN (SELECT n.item_id FROM nearer AS n)
             AND NOT EXISTS (SELECT FROM user_item_affinity AS k
                              WHERE k.user_id = p_user AND k.item_id = a.item_id
                                AND NOT p_known)
             AND (p_genre IS NULL
                  OR EXISTS (SELECT FROM item_genres AS w
                              WHERE w.item_id = a.item_id AND w.genre = p_genre))
             AND (SELECT count(*) FROM nearer) < p_n
           ORDER BY a.rank
           LIMIT p_n) AS t
), listed AS MATERIALIZED (
  SELECT n.item_id FROM nearer AS n UNION ALL SELECT b.item_id FROM by_decade AS b
), by_play AS MATERIALIZED (
  SELECT 4 AS step, t.item_id,
         coalesce(power(2.0::double precision, greatest(t.heat - max(t.heat) OVER (), -1000)), 0)
           AS score,
         'popular' AS source, 'popular' AS reason
    FROM (SELECT t.item_id, t.heat
            FROM item_trends AS t
           WHERE t.country = ''
             AND t.item_id <> ALL (p_taken)
             AND t.item_id NOT IN (SELECT l.item_id FROM listed AS l)
             AND NOT EXISTS (SELECT FROM user_item_affinity AS k
                              WHERE k.user_id = p_user AND k.item_id = t.item_id
                                AND NOT p_known)
             AND (p_genre IS NULL
                  OR EXISTS (SELECT FROM item_genres AS w
                              WHERE w.item_id = t.item_id AND w.genre = p_genre))
             AND (SELECT count(*) FROM listed) < p_n
           ORDER BY t.heat DESC NULLS LAST, t.item_id
           LIMIT p_n) AS t
), by_release AS MATERIALIZED (
  SELECT 5 AS step, i.item_id, 0.0::double precision AS score, 'popular' AS source,
         'new in the catalogue' AS reason,
         row_number() OVER (ORDER BY i.released_at DESC NULLS LAST, i.item_id) AS position
    FROM items AS i
   WHERE i.item_id <> ALL (p_taken)
     AND NOT EXISTS (SELECT FROM item_trends AS t WHERE t.country = '' AND t.item_id = i.item_id)
     AND i.item_id NOT IN (SELECT l.item_id FROM listed AS l)
     AND NOT EXISTS (SELECT FROM user_item_affinity AS k
                      WHERE k.user_id = p_user AND k.item_id = i.item_id
                        AND NOT p_known)
     AND (p_genre IS NULL
          OR EXISTS (SELECT FROM item_genres AS w
                      WHERE w.item_id = i.item_id AND w.genre = p_genre))
     AND (SELECT count(*) FROM listed) + (SELECT count(*) FROM by_play) < p_n
   ORDER BY i.released_at DESC NULLS LAST, i.item_id
   LIMIT p_n
)
SELECT (row_number() OVER (ORDER BY c.step, c.score DESC, c.position, c.item_id))::integer AS rank,
       c.item_id, c.score, c.source, c.reason
  FROM (SELECT b.*, 0 AS position FROM by_genre AS b
         UNION ALL SELECT b.*, 0 FROM by_country AS b
         UNION ALL SELECT b.* FROM by_decade AS b
         UNION ALL SELECT b.*, 0 FROM by_play AS b
         UNION ALL SELECT b.* FROM by_release AS b) AS c
 ORDER BY 1
 LIMIT greatest(p_n, 0)
$$;
COMMENT ON FUNCTION fallback_for(text, integer, text[], text, boolean) IS
  'Recommendations without a model: genres the user likes, then what trends in their country, '
  'then what is popular with those born in their decade, then what is popular, then what is new. '
  'Leaves out p_taken, what the user knows unless p_known, and what is not of p_genre where one is '
  'given. '
  'score is popularity relative to the hottest of its step.';

CREATE FUNCTION recommendations_for(p_user text, p_n integer DEFAULT 10, p_genre text DEFAULT NULL,
                                    p_exclude text[] DEFAULT '{}',
                                    p_known boolean DEFAULT false)
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
COMMENT ON FUNCTION recommendations_for(text, integer, text, text[], boolean) IS
  'Recommendations for any user, known or not: the personal list of the published run, made anew '
  'since where the user did something, without what the user has come to know since, filled up to '
  'p_n by fallback_for. Of p_genre only where one is given, without p_exclude; with p_known, what '
  'the user has come to know may be in it.';
