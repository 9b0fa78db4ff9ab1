-- For some time records did not tell when they were made. The column cannot be
-- added where it belongs, which is before the values.
DROP INDEX IF EXISTS records_version;

DROP INDEX IF EXISTS records_removed;

DROP INDEX IF EXISTS records_ended;

ALTER TABLE records RENAME TO records_before;
