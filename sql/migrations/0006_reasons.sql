-- Why: each call of the ledger carries how its caller-ID was chosen, or why it got none.

ALTER TABLE calls ADD COLUMN why text;
COMMENT ON COLUMN calls.why IS
    'How the caller-ID was chosen: free, warm, sticky, seen, overflow, restored, after a colon why a sticky one did not hold;'
    ' for a miss its detail: distinct';
