-- A live invitation is found by what is asked for, not among all that its greeter has. Whoever writes an invitation waits
-- while the index is made: some 3 s for a million live ones.
CREATE INDEX invitation_live ON invitation (greeter, type, claimer_email, _id) WHERE deleted_on IS NULL;
