-- What follows from the stored tables. A view cannot disagree with what it is computed from.

CREATE FUNCTION feature_setting(p_name text) RETURNS double precision
LANGUAGE sql STABLE PARALLEL SAFE
RETURN (SELECT value FROM feature_settings WHERE name = p_name);
COMMENT ON FUNCTION feature_setting(text) IS
  'Value of a setting that the stored features were built with.';

CREATE FUNCTION halved(p_value double precision, p_age interval, p_half_life_seconds double precision)
RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
-- Past 1000 half-lives the power underflows, which PostgreSQL reports as an error.
RETURN p_value * power(2.0::double precision, greatest(-1000, least(1000,
         -extract(epoch FROM p_age)::double precision / p_half_life_seconds)));
COMMENT ON FUNCTION halved(double precision, interval, double precision) IS
  'A decayed sum, carried on by an age: value * 2^(-age / half-life).';

CREATE FUNCTION heat(p_score double precision, p_as_of timestamptz,
                     p_half_life_seconds double precision)
RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN p_score > 0
            THEN ln(p_score) / ln(2.0::double precision)
                 + extract(epoch FROM p_as_of)::double precision / p_half_life_seconds
       END;
COMMENT ON FUNCTION heat(double precision, timestamptz, double precision) IS
  'Rank of a decayed sum that does not change with time: log2(score) + as_of / half-life.';

CREATE VIEW item_activity_5m AS
SELECT c.item_id, c.bucket_start, c.plays, c.completes, c.skips, c.likes, c.unlikes, c.dislikes,
       c.playlist_adds, c.ms_played,
       (SELECT count(*)
          FROM item_listeners AS l
         WHERE l.item_id = c.item_id
           AND l.bucket_start = c.bucket_start) AS listeners
  FROM item_counts_5m AS c;
COMMENT ON VIEW item_activity_5m IS
  'Item activity with distinct listeners. One row an item and 5 minutes of event time.';

CREATE VIEW item_activity_hour AS
SELECT c.item_id, c.bucket_start, c.plays, c.completes, c.skips, c.likes, c.unlikes, c.dislikes,
       c.playlist_adds, c.ms_played,
       (SELECT count(DISTINCT l.user_id)
          FROM item_listeners AS l
         WHERE l.item_id = c.item_id
           AND l.bucket_start >= c.bucket_start
           AND l.bucket_start < c.bucket_start + interval '1 hour') AS listeners
  FROM item_counts_hour AS c;
COMMENT ON VIEW item_activity_hour IS
  'Item activity with distinct listeners. One row an item and hour of event time.';

CREATE VIEW item_activity_day AS
SELECT c.item_id, c.bucket_start, c.plays, c.completes, c.skips, c.likes, c.unlikes, c.dislikes,
       c.playlist_adds, c.ms_played,
       (SELECT count(DISTINCT l.user_id)
          FROM item_listeners AS l
         WHERE l.item_id = c.item_id
           AND l.bucket_start >= c.bucket_start
           AND l.bucket_start < c.bucket_start + interval '24 hours') AS listeners
  FROM item_counts_day AS c;
COMMENT ON VIEW item_activity_day IS
  'Item activity with distinct listeners. One row an item and day (UTC) of event time.';

CREATE VIEW trending AS
WITH half_life AS (
  SELECT feature_setting('feature_trend_half_life_hours') * 3600 AS seconds
)
SELECT CASE WHEN t.country = '' THEN 'global' ELSE 'country' END AS scope,
       t.country AS scope_value, t.item_id,
       halved(t.score, now() - t.as_of, h.seconds) AS score, t.heat
  FROM item_trends AS t CROSS JOIN half_life AS h
 WHERE t.heat IS NOT NULL
UNION ALL
SELECT 'genre', g.genre, t.item_id,
       halved(t.score, now() - t.as_of, h.seconds), t.heat
  FROM item_trends AS t
  JOIN item_genres AS g USING (item_id)
  CROSS JOIN half_life AS h
 WHERE t.country = '' AND t.heat IS NOT NULL;
COMMENT ON VIEW trending IS
  'Decayed popularity as of now: scope global, country or genre. Order by heat DESC. '
  'One row a scope, its value and item.';

CREATE VIEW user_activity_day AS
SELECT d.user_id, d.day, d.events, d.plays, d.completes, d.skips, d.likes, d.unlikes, d.dislikes,
       d.playlist_adds, d.ms_played, d.ms_played / 60000.0 AS minutes_played,
       d.skips::double precision / nullif(d.plays, 0) AS skip_rate,
       (SELECT count(*)
          FROM session_counts AS s
         WHERE s.user_id = d.user_id
           AND (s.started_at AT TIME ZONE 'UTC')::date = d.day) AS sessions,
       d.first_at, d.last_at
  FROM user_counts_day AS d;
COMMENT ON VIEW user_activity_day IS
  'User activity, with the sessions that started that day. One row a user and day (UTC).';

CREATE VIEW user_activity AS
SELECT d.user_id, sum(d.events)::bigint AS events, sum(d.plays)::bigint AS plays,
       sum(d.completes)::bigint AS completes, sum(d.skips)::bigint AS skips,
       sum(d.likes)::bigint AS likes, sum(d.unlikes)::bigint AS unlikes,
       sum(d.dislikes)::bigint AS dislikes, sum(d.playlist_adds)::bigint AS playlist_adds,
       sum(d.ms_played)::bigint AS ms_played, sum(d.ms_played) / 60000.0 AS minutes_played,
       sum(d.skips)::double precision / nullif(sum(d.plays), 0) AS skip_rate,
       (SELECT count(*) FROM session_counts AS s WHERE s.user_id = d.user_id) AS sessions,
       count(*) AS active_days, min(d.first_at) AS first_seen_at, max(d.last_at) AS last_seen_at
  FROM user_counts_day AS d
 GROUP BY d.user_id;
COMMENT ON VIEW user_activity IS 'User activity in total. One row a user.';

CREATE VIEW user_genre_affinity AS
SELECT a.user_id, g.genre,
       sum(halved(a.signal, now() - a.last_at, h.seconds)) AS signal,
       sum(a.plays)::bigint AS plays, sum(a.completes)::bigint AS completes,
       sum(a.skips)::bigint AS skips, sum(a.likes)::bigint AS likes,
       sum(a.dislikes)::bigint AS dislikes,
       min(a.first_at) AS first_at, max(a.last_at) AS last_at
  FROM user_item_affinity AS a
  JOIN item_genres AS g USING (item_id)
  CROSS JOIN (SELECT feature_setting('feature_affinity_half_life_days') * 86400 AS seconds) AS h
 GROUP BY a.user_id, g.genre;
COMMENT ON VIEW user_genre_affinity IS
  'What a user gave a genre, decayed to now. One row a user and genre.';

CREATE VIEW user_artist_affinity AS
SELECT a.user_id, i.artist_id,
       sum(halved(a.signal, now() - a.last_at, h.seconds)) AS signal,
       sum(a.plays)::bigint AS plays, sum(a.completes)::bigint AS completes,
       sum(a.skips)::bigint AS skips, sum(a.likes)::bigint AS likes,
       sum(a.dislikes)::bigint AS dislikes,
       min(a.first_at) AS first_at, max(a.last_at) AS last_at
  FROM user_item_affinity AS a
  JOIN items AS i USING (item_id)
  CROSS JOIN (SELECT feature_setting('feature_affinity_half_life_days') * 86400 AS seconds) AS h
 WHERE i.artist_id IS NOT NULL
 GROUP BY a.user_id, i.artist_id;
COMMENT ON VIEW user_artist_affinity IS
  'What a user gave an artist, decayed to now. One row a user and artist.';

CREATE VIEW sessions AS
SELECT s.user_id, s.session_id, s.started_at, s.last_event_at,
       CASE WHEN NOT o.open THEN s.last_event_at END AS ended_at, o.open,
       s.events, s.plays, s.completes, s.skips, s.ms_played
  FROM session_counts AS s
  CROSS JOIN LATERAL (
    SELECT (s.logged_out_at IS NULL OR s.logged_out_at < s.last_event_at)
           AND s.last_event_at > now()
             - feature_setting('feature_session_timeout_minutes') * interval '1 minute' AS open
  ) AS o;
COMMENT ON VIEW sessions IS
  'Visits, open while they last: not logged out and active within the session timeout. '
  'One row a user and session.';

CREATE VIEW platform_minutes AS
SELECT c.minute, sum(c.events)::bigint AS events,
       (SELECT count(*) FROM minute_users AS u WHERE u.minute = c.minute) AS active_users
  FROM platform_activity_minute AS c
 GROUP BY c.minute;
COMMENT ON VIEW platform_minutes IS
  'Events and distinct active users of the platform. One row a minute of event time.';

CREATE VIEW current_recommendations AS
SELECT r.model_run_id, r.user_id, r.rank, r.item_id, r.score, r.source, r.reason
  FROM recommendations AS r
  JOIN published_run AS p USING (model_run_id);
COMMENT ON VIEW current_recommendations IS
  'Lists of the published run. One row a user and rank.';

-- Columns of views that no table has.
COMMENT ON COLUMN item_activity_5m.listeners IS 'Distinct users who played it in the 5 minutes';
COMMENT ON COLUMN item_activity_hour.listeners IS 'Distinct users who played it in the hour';
COMMENT ON COLUMN item_activity_day.listeners IS 'Distinct users who played it on the day';
COMMENT ON COLUMN trending.scope IS 'global, country or genre';
COMMENT ON COLUMN trending.scope_value IS 'The country or genre; empty for global';
COMMENT ON COLUMN trending.score IS 'Decayed sum of signals as of now, in complete plays';
COMMENT ON COLUMN user_activity_day.minutes_played IS 'Time played, in min';
COMMENT ON COLUMN user_activity_day.skip_rate IS 'Skips / plays; NULL without a play';
COMMENT ON COLUMN user_activity_day.sessions IS 'Sessions that started on the day';
COMMENT ON COLUMN user_activity.minutes_played IS 'Time played, in min';
COMMENT ON COLUMN user_activity.skip_rate IS 'Skips / plays; NULL without a play';
COMMENT ON COLUMN user_activity.sessions IS 'Sessions';
COMMENT ON COLUMN user_activity.events IS 'Events of every type';
COMMENT ON COLUMN user_activity.active_days IS 'Days with an event';
COMMENT ON COLUMN user_activity.first_seen_at IS 'First event';
COMMENT ON COLUMN user_activity.last_seen_at IS 'Last event';
COMMENT ON COLUMN user_genre_affinity.genre IS 'Genre; an item counts for each of its genres';
COMMENT ON COLUMN user_genre_affinity.signal IS 'Decayed sum of signals as of now, in complete plays';
COMMENT ON COLUMN user_genre_affinity.first_at IS 'First event of the user with the genre';
COMMENT ON COLUMN user_genre_affinity.last_at IS 'Last event of the user with the genre';
COMMENT ON COLUMN user_artist_affinity.artist_id IS 'Artist';
COMMENT ON COLUMN user_artist_affinity.signal IS
  'Decayed sum of signals as of now, in complete plays';
COMMENT ON COLUMN user_artist_affinity.first_at IS 'First event of the user with the artist';
COMMENT ON COLUMN user_artist_affinity.last_at IS 'Last event of the user with the artist';
COMMENT ON COLUMN sessions.ended_at IS 'Last event, once the session is closed; else NULL';
COMMENT ON COLUMN sessions.open IS 'Whether the session still lasts';
COMMENT ON COLUMN platform_minutes.events IS 'Events of every type';
COMMENT ON COLUMN platform_minutes.active_users IS 'Distinct users with an event';

-- The others mean what they mean in the table they come from.
DO $$
DECLARE
  view_column record;
BEGIN
  FOR view_column IN
    SELECT v.relname, a.attname, a.attnum, v.oid,
           (SELECT d.description
              FROM pg_depend AS p
              JOIN pg_rewrite AS r ON r.oid = p.objid AND r.ev_class = v.oid
              JOIN pg_attribute AS t ON t.attrelid = p.refobjid AND t.attname = a.attname
              JOIN pg_description AS d ON d.objoid = t.attrelid AND d.objsubid = t.attnum
             WHERE p.refclassid = 'pg_class'::regclass AND p.refobjid <> v.oid
             ORDER BY p.refobjsubid DESC
             LIMIT 1) AS description
      FROM pg_class AS v
      JOIN pg_attribute AS a ON a.attrelid = v.oid AND a.attnum > 0
     WHERE v.relkind = 'v' AND v.relnamespace = 'public'::regnamespace
       AND col_description(v.oid, a.attnum) IS NULL
  LOOP
    EXECUTE format('COMMENT ON COLUMN %I.%I IS %L', view_column.relname, view_column.attname,
                   view_column.description);
  END LOOP;
END
$$;
