-- Before there were owners, who had sessions was one. Never again: who is known by
-- something else than a cookie has sessions, too, and no cookie is to be his.
INSERT INTO owners (owner, made, used)
SELECT owner, min(used), max(used) FROM sessions WHERE true GROUP BY owner
ON CONFLICT DO NOTHING;

-- Codes were here then, without their owners. They last ten minutes.
DROP TABLE IF EXISTS pairings;
