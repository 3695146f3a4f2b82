-- One group role for each part, for all databases of the server; who logs in is a member of one.
DO $$
DECLARE
  part text;
BEGIN
  FOREACH part IN ARRAY ARRAY['encore_streaming', 'encore_training', 'encore_api'] LOOP
    IF to_regrole(part) IS NULL THEN
      EXECUTE format('CREATE ROLE %I NOLOGIN', part);
      EXECUTE format('GRANT %I TO CURRENT_USER', part);
    END IF;
  END LOOP;
EXCEPTION WHEN insufficient_privilege OR duplicate_object OR unique_violation THEN
  NULL; -- `encore roles` makes them, by somebody who may
END
$$;

CREATE FUNCTION grant_roles() RETURNS void
LANGUAGE plpgsql SET search_path = public, pg_temp
AS $$
DECLARE
  one text;
  of_stream CONSTANT text[] := ARRAY[
    'users', 'artists', 'albums', 'genres', 'items', 'item_genres', 'item_counts_5m',
    'item_counts_hour', 'item_counts_day', 'item_listeners', 'item_trends', 'user_counts_day',
    'user_item_affinity', 'session_counts', 'platform_activity_minute', 'minute_users',
    'stream_offsets', 'ingest_audit', 'rejected_events', 'seen_events', 'feature_settings',
    'impressions', 'recommendation_outcomes'];
  of_training CONSTANT text[] := ARRAY[
    'model_runs', 'published_run', 'run_switches', 'age_popularity', 'model_artifacts', 'live_queue',
    'live_buckets', 'live_workers', 'live_recommendations'];
  of_the_api CONSTANT text[] := ARRAY['api_keys', 'api_writes'];
BEGIN
  IF to_regrole('encore_streaming') IS NOT NULL THEN
    -- Staging, and the tables of a rebuild, lie in schemas that it makes.
    EXECUTE format('GRANT CREATE ON DATABASE %I TO encore_streaming', current_database());
    FOREACH one IN ARRAY of_stream LOOP
      IF to_regclass(one) IS NOT NULL THEN
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO encore_streaming', one);
      END IF;
    END LOOP;
    GRANT SELECT, INSERT ON live_queue TO encore_streaming;
    GRANT SELECT ON live_workers, erasures, alembic_version TO encore_streaming;
    GRANT EXECUTE ON FUNCTION begin_erasure(text, text, text, jsonb), finish_erasures(text, text)
      TO encore_streaming;
    IF to_regnamespace('staging') IS NOT NULL AND pg_has_role('encore_streaming', 'MEMBER')
       AND pg_has_role((SELECT nspowner FROM pg_namespace WHERE nspname = 'staging'), 'USAGE') THEN
      ALTER SCHEMA staging OWNER TO encore_streaming;
    END IF;
  END IF;
  IF to_regrole('encore_training') IS NOT NULL THEN
    FOR one IN
      SELECT c.relname FROM pg_class AS c
       WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'v', 'p')
         AND c.relname <> ALL (of_the_api) AND pg_has_role(c.relowner, 'USAGE')
    LOOP
      EXECUTE format('GRANT SELECT ON %I TO encore_training', one);
    END LOOP;
    FOREACH one IN ARRAY of_training LOOP
      EXECUTE format('GRANT INSERT, UPDATE, DELETE ON %I TO encore_training', one);
    END LOOP;
    GRANT EXECUTE ON FUNCTION leave_out_erased(bigint) TO encore_training;
    -- A run is a partition that it makes, attaches and drops: that takes the owner.
    GRANT CREATE ON SCHEMA public TO encore_training;
    IF pg_has_role('encore_training', 'MEMBER') THEN
      FOR one IN
        SELECT t.relid::text FROM unnest(ARRAY['recommendations', 'similar_items']) AS parent,
               pg_partition_tree(parent::regclass) AS t
          JOIN pg_class AS c ON c.oid = t.relid
         WHERE c.relowner <> to_regrole('encore_training') AND pg_has_role(c.relowner, 'USAGE')
      LOOP
        EXECUTE format('ALTER TABLE %s OWNER TO encore_training', one);
      END LOOP;
    END IF;
  END IF;
  IF to_regrole('encore_api') IS NOT NULL THEN
    FOR one IN
      SELECT c.relname FROM pg_class AS c
       WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'v', 'p')
         AND pg_has_role(c.relowner, 'USAGE')
    LOOP
      EXECUTE format('GRANT SELECT ON %I TO encore_api', one);
    END LOOP;
    GRANT INSERT ON api_writes TO encore_api;
    -- With a key of an administrator it takes readers back to an older run, and replays records.
    GRANT INSERT, UPDATE ON published_run TO encore_api;
    GRANT UPDATE (status, published_at, duration_seconds) ON model_runs TO encore_api;
    GRANT INSERT ON run_switches, live_queue TO encore_api;
    GRANT UPDATE (replayed_at, replayed_to) ON rejected_events TO encore_api;
    GRANT EXECUTE ON FUNCTION leave_out_erased(bigint) TO encore_api;
    ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO encore_api;
  END IF;
END
$$;
COMMENT ON FUNCTION grant_roles() IS
  'Gives the group roles that there are what their parts need, and no more. `encore migrate` and '
  '`encore roles` call it; calling it again changes nothing.';
SELECT grant_roles();
