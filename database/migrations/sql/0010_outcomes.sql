CREATE VIEW click_through AS
SELECT o.hour, o.model_run_id, o.variant, o.source, o.position,
       o.impressions, o.plays, o.completes, o.skips, o.likes,
       o.plays::double precision / nullif(o.impressions, 0) AS click_through
  FROM recommendation_outcomes AS o;
COMMENT ON VIEW click_through IS
  'What came of what was shown, as rates. To add rows up, divide the sums. One row an hour of '
  'event time, run, variant, source and position.';
COMMENT ON COLUMN click_through.click_through IS 'Plays / impressions';

-- The other columns mean what they mean in the table.
DO $$
DECLARE
  one record;
BEGIN
  FOR one IN
    SELECT v.attname, col_description(t.attrelid, t.attnum) AS description
      FROM pg_attribute AS v
      JOIN pg_attribute AS t ON t.attrelid = 'recommendation_outcomes'::regclass
                            AND t.attname = v.attname AND t.attnum > 0
     WHERE v.attrelid = 'click_through'::regclass AND v.attnum > 0
  LOOP
    EXECUTE format('COMMENT ON COLUMN click_through.%I IS %L', one.attname, one.description);
  END LOOP;
END
$$;
