CREATE FUNCTION item_matches(p_text text)
RETURNS TABLE (item_id text, score real)
LANGUAGE sql STABLE
AS $$
SELECT m.item_id, max(m.score) AS score
  FROM (SELECT i.item_id, word_similarity(p_text, i.title) AS score
          FROM items AS i
         WHERE i.title ILIKE like_pattern(p_text) OR p_text <% i.title
         UNION ALL
        SELECT i.item_id, word_similarity(p_text, a.name)
          FROM artists AS a
          JOIN items AS i USING (artist_id)
         WHERE a.name ILIKE like_pattern(p_text) OR p_text <% a.name) AS m
 GROUP BY m.item_id
$$;
COMMENT ON FUNCTION item_matches(text) IS
  'Items whose title or artist holds a text or words that are nearly it. score is the likeness of '
  'trigrams, 0 to 1.';
