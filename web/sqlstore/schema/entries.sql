-- Before there were records, entries had what could have a value.
INSERT INTO records (owner, session, key, stamp, version, merged, made, value)
SELECT owner, session, key, stamp, version, date('now'), substr(stamp, 1, 13), value
FROM entries WHERE true
ON CONFLICT DO NOTHING;

INSERT INTO records (owner, session, key, stamp, version, merged, made, value)
SELECT owner, session, 'newest', max(stamp), max(version), date('now'), '',
  CAST(min(CAST(substr(max(stamp), 1, 13) AS INTEGER), 1000 * CAST(strftime('%s', 'now') AS INTEGER)) AS TEXT)
FROM entries WHERE true GROUP BY owner, session
ON CONFLICT DO NOTHING;

DROP TABLE entries;
