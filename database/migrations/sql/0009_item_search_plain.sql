CREATE FUNCTION item_matches(p_text text)
RETURNS TABLE (item_id text, score real)
LANGUAGE sql STABLE
AS $$
SELECT m.item_id, max(length(p_text) / greatest(length(m.said), 1)::real)::real AS score
  FROM (SELECT i.item_id, i.title AS said
          FROM items AS i
         WHERE i.title ILIKE like_pattern(p_text)
         UNION ALL
        SELECT i.item_id, a.name
          FROM artists AS a
          JOIN items AS i USING (artist_id)
         WHERE a.name ILIKE like_pattern(p_text)) AS m
 GROUP BY m.item_id
$$;
COMMENT ON FUNCTION item_matches(text) IS
  'Items whose title or artist holds a text. score is the share of the title or name that it is.';
