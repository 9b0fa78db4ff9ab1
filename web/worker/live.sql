-- The key of the tickets by which devices listen: see live.js. The Worker makes tickets only
-- where there is one. It may be applied any number of times.
CREATE TABLE IF NOT EXISTS live_keys (id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1), key TEXT NOT NULL);

INSERT OR IGNORE INTO live_keys VALUES (1, hex(randomblob(32)));
