-- Neighbouring areas by distance, for campaigns that want it.

ALTER TABLE campaigns ADD COLUMN neighbour_miles integer NOT NULL DEFAULT 0 CHECK (neighbour_miles BETWEEN 0 AND 1000);
COMMENT ON COLUMN campaigns.neighbour_miles IS
    'The rung neighbour looks in areas whose centre is at most so far away; 0: in those that border on the area';
