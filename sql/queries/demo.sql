-- remove_demo --
-- Deletes the demo's fictional caller-IDs, and those of its campaigns ($1) that have no caller-ID left; returns how many caller-IDs.
WITH gone AS (
    DELETE FROM caller_ids WHERE meta @> '{"demo": true}' RETURNING caller_id
), campaigns_gone AS (
    DELETE FROM campaigns WHERE name = ANY ($1::text[]) AND EXISTS (SELECT FROM gone) AND NOT EXISTS (
        SELECT FROM campaign_groups JOIN caller_ids USING (group_name)
        WHERE campaign_groups.campaign = campaigns.name AND NOT caller_ids.meta @> '{"demo": true}'
    )
)
SELECT count(*) FROM gone;
