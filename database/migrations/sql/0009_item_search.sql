-- Items by words of their title or artist. What LIKE takes for a wildcard is escaped.

CREATE FUNCTION like_pattern(p_text text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN '%' || regexp_replace(p_text, '([\\%_])', '\\\1', 'g') || '%';
COMMENT ON FUNCTION like_pattern(text) IS
  'Pattern of LIKE for whatever holds a text.';
