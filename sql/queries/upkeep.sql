-- roll_up_usage --
-- Counts the newest $2 hours that changed, and their days, in the time zone $1; returns how many hours.
SELECT roll_up_usage($1, $2);

-- usage_hours_due --
-- How many hours the ledger has changed in since they were counted.
SELECT count(DISTINCT hour) FROM usage_due;

-- drop_old_calls --
-- Drops the months of the ledger beyond the last $1; returns how many.
SELECT drop_old_calls($1);
