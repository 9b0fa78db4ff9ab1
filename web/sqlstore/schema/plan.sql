-- Which of the files beside this one are to be applied, and in which order, so that
-- a database has what the last version of this package needs: none when it has, and
-- NULL when it is of a version that is not known here. All of them are to be applied
-- at once or not at all.
--
-- A version is a row, as D1 has no user_version. The first has the number 1; what
-- was there before tells by its tables what it is, or by those of a migration that
-- was interrupted.
CREATE TABLE IF NOT EXISTS schema_versions (version INTEGER NOT NULL PRIMARY KEY);

SELECT CASE (SELECT coalesce(max(version), 0) FROM schema_versions)
  WHEN 0 THEN trim(
    CASE WHEN EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'records' AND sql NOT LIKE '%made TEXT%') THEN 'aside.sql' ELSE '' END
    || ' tables.sql'
    || CASE WHEN EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'records_before'
      OR name = 'records' AND sql NOT LIKE '%made TEXT%') THEN ' untimed.sql' ELSE '' END
    || CASE WHEN EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'entries') THEN ' entries.sql' ELSE '' END
    || CASE WHEN EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'owners') THEN '' ELSE ' owners.sql' END
    || ' devices.sql')
  WHEN 1 THEN 'devices.sql'
  WHEN 2 THEN ''
END AS files;
