-- What aside.sql has put there.
INSERT INTO records (owner, session, key, stamp, version, merged, made, value)
SELECT owner, session, key, stamp, version, merged, CASE key WHEN 'newest' THEN '' ELSE substr(stamp, 1, 13) END, value
FROM records_before WHERE key <> 'ended'
ON CONFLICT DO NOTHING;

DROP TABLE records_before;
