-- Whom listeners are forgotten by: what names them goes, what was counted of all stays. Functions of
-- the owner, so that the stream may erase what it may not write otherwise.

CREATE FUNCTION user_digest(p_user text) RETURNS bytea
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN sha256(convert_to(p_user, 'UTF8'));
COMMENT ON FUNCTION user_digest(text) IS 'SHA-256 of a user''s id: how an erased one is known.';

CREATE FUNCTION erase_user(p_user text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
BEGIN
  -- A list that a worker of `encore live` has in hand is written before it is deleted.
  PERFORM FROM live_buckets WHERE bucket = live_bucket(p_user) FOR UPDATE;
  DELETE FROM live_queue
   WHERE bulk IN (false, true) AND bucket = live_bucket(p_user) AND user_id = p_user;
  DELETE FROM live_recommendations WHERE user_id = p_user;
  DELETE FROM recommendations WHERE user_id = p_user;
  -- Who is listed by item or minute is found by what is kept of the user alone.
  UPDATE item_listeners SET user_ids = array_remove(user_ids, p_user)
   WHERE item_id IN (SELECT item_id FROM user_item_affinity WHERE user_id = p_user)
     AND p_user = ANY (user_ids);
  DELETE FROM item_listeners
   WHERE item_id IN (SELECT item_id FROM user_item_affinity WHERE user_id = p_user)
     AND user_ids = '{}';
  UPDATE minute_users AS m SET user_ids = array_remove(m.user_ids, p_user)
    FROM user_counts_day AS d
   WHERE d.user_id = p_user AND m.minute >= d.day::timestamp AT TIME ZONE 'UTC'
     AND m.minute < (d.day + 1)::timestamp AT TIME ZONE 'UTC' AND p_user = ANY (m.user_ids);
  DELETE FROM minute_users AS m USING user_counts_day AS d
   WHERE d.user_id = p_user AND m.minute >= d.day::timestamp AT TIME ZONE 'UTC'
     AND m.minute < (d.day + 1)::timestamp AT TIME ZONE 'UTC' AND m.user_ids = '{}';
  DELETE FROM session_counts WHERE user_id = p_user;
  DELETE FROM user_item_affinity WHERE user_id = p_user;
  DELETE FROM user_counts_day WHERE user_id = p_user;
  IF to_regclass('impressions') IS NOT NULL THEN
    EXECUTE 'DELETE FROM impressions WHERE user_id = $1' USING p_user;
  END IF;
  UPDATE rejected_events SET key = NULL, raw = NULL, erased_at = now()
   WHERE erased_at IS NULL
     AND (key = convert_to(p_user, 'UTF8')
          OR position(convert_to('"user_id":' || to_json(p_user)::text, 'UTF8') IN raw) > 0
          OR position(convert_to('"user_id": ' || to_json(p_user)::text, 'UTF8') IN raw) > 0);
  UPDATE api_writes
     SET path = replace(path, '/' || p_user, '/' || encode(user_digest(p_user), 'hex'))
   WHERE path LIKE '%/users/%' AND right(path, length(p_user) + 7) = '/users/' || p_user
      OR path LIKE '%/preference/%' AND strpos(path, '/preference/' || p_user || '/') > 0;
END
$$;
COMMENT ON FUNCTION erase_user(text) IS
  'Deletes all that names a user but the row of users; counts of items, minutes and countries, '
  'which name nobody, stay.';

CREATE FUNCTION finish_erasures(p_topic text, p_topic_id text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
DECLARE
  counted jsonb;
  one record;
BEGIN
  IF NOT EXISTS (SELECT FROM erasures WHERE user_id IS NOT NULL) THEN
    RETURN;
  END IF;
  SELECT coalesce(jsonb_object_agg(o.partition, o.next_offset), '{}') INTO counted
    FROM stream_offsets AS o WHERE o.topic = p_topic AND o.topic_id = p_topic_id;
  FOR one IN SELECT * FROM erasures WHERE user_id IS NOT NULL ORDER BY digest FOR UPDATE LOOP
    PERFORM erase_user(one.user_id);
    UPDATE erasures AS e
       SET user_id = NULL, until = NULL, upto = counted, topic_id = p_topic_id, erased_at = now()
     WHERE e.digest = one.digest
       AND (one.topic_id <> p_topic_id
            OR NOT EXISTS (SELECT FROM jsonb_each_text(one.until) AS u
                            WHERE u.value::bigint > coalesce((counted ->> u.key)::bigint, 0)));
  END LOOP;
END
$$;
COMMENT ON FUNCTION finish_erasures(text, text) IS
  'Erases anew the users whose events were not all counted when they were erased, and closes what '
  'is done. For a transaction that holds the rows of stream_offsets of the events.';

CREATE FUNCTION begin_erasure(p_user text, p_topic text, p_topic_id text, p_ends jsonb)
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
BEGIN
  -- No batch of events is merged from here to the commit.
  PERFORM FROM stream_offsets AS o
    WHERE o.topic = p_topic AND o.topic_id = p_topic_id ORDER BY o.partition FOR UPDATE;
  INSERT INTO erasures AS e (digest, user_id, topic_id, until)
  VALUES (user_digest(p_user), p_user, p_topic_id, p_ends)
  ON CONFLICT (digest) DO UPDATE
     SET user_id = excluded.user_id, topic_id = excluded.topic_id, until = excluded.until,
         requested_at = now(), erased_at = NULL;
  PERFORM finish_erasures(p_topic, p_topic_id);
END
$$;
COMMENT ON FUNCTION begin_erasure(text, text, text, jsonb) IS
  'Erases a user, now and with every batch of events until those before p_ends, the ends of the '
  'partitions in Kafka, are counted.';

CREATE FUNCTION leave_out_erased(p_run bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
DECLARE
  gone bytea[];
BEGIN
  -- Deletions under way are waited for; those that come later see the run's lists.
  LOCK TABLE erasures IN SHARE MODE;
  SELECT array_agg(e.digest) INTO gone FROM erasures AS e
   WHERE greatest(e.requested_at, e.erased_at)
         >= (SELECT m.started_at FROM model_runs AS m WHERE m.model_run_id = p_run);
  IF gone IS NOT NULL THEN
    DELETE FROM recommendations
     WHERE model_run_id = p_run
       AND user_id IN (SELECT r.user_id FROM recommendations AS r
                        WHERE r.model_run_id = p_run AND r.rank = 1
                          AND user_digest(r.user_id) = ANY (gone));
  END IF;
END
$$;
COMMENT ON FUNCTION leave_out_erased(bigint) IS
  'Deletes from a run the lists of users who were deleted since it started: its data may have '
  'known them. For the transaction that publishes it.';

REVOKE ALL ON FUNCTION erase_user(text), finish_erasures(text, text),
                       begin_erasure(text, text, text, jsonb), leave_out_erased(bigint)
  FROM PUBLIC;
