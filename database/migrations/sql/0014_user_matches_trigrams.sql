CREATE FUNCTION user_matches(p_text text)
RETURNS TABLE (user_id text)
LANGUAGE sql STABLE
AS $$
SELECT u.user_id FROM users AS u WHERE u.name ILIKE like_pattern(p_text) OR p_text <% u.name
$$;
COMMENT ON FUNCTION user_matches(text) IS
  'Users whose name holds a text, or words that are nearly it by their trigrams.';
