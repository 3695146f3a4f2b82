CREATE FUNCTION user_matches(p_text text)
RETURNS TABLE (user_id text)
LANGUAGE sql STABLE
AS $$
SELECT u.user_id FROM users AS u WHERE u.name ILIKE like_pattern(p_text)
$$;
COMMENT ON FUNCTION user_matches(text) IS 'Users whose name holds a text.';
