-- The exchange between greeter and claimer, and who is connected with an invitation.

CREATE INDEX invitation_by_greeter ON invitation (greeter) WHERE deleted_on IS NULL;

-- One for each user who may greet: the invitation's row is the lock that orders its changes. A slot is what one side has
-- sent and the other not yet taken; its attempt tells it apart from one with the same payload.
CREATE TABLE conduit (
    invitation BIGINT NOT NULL REFERENCES invitation,
    greeter BIGINT NOT NULL REFERENCES user_,
    state TEXT NOT NULL DEFAULT '1_WAIT_PEERS',
    greeter_attempt UUID,
    greeter_payload BYTEA,
    claimer_attempt UUID,
    claimer_payload BYTEA,
    greeter_taken UUID, -- newest attempt of the greeter that the claimer has taken
    claimer_taken UUID, -- newest attempt of the claimer that the greeter has taken
    PRIMARY KEY (invitation, greeter),
    CHECK ((greeter_attempt IS NULL) = (greeter_payload IS NULL)),
    CHECK ((claimer_attempt IS NULL) = (claimer_payload IS NULL))
) WITH (fillfactor = 80);
CREATE INDEX conduit_by_greeter ON conduit (greeter);
ALTER TABLE conduit ALTER COLUMN greeter_payload SET STORAGE EXTERNAL;
ALTER TABLE conduit ALTER COLUMN claimer_payload SET STORAGE EXTERNAL;

INSERT INTO conduit (invitation, greeter) SELECT _id, greeter FROM invitation WHERE type <> 'SHAMIR_RECOVERY';

-- Connected claimers; a lease, so that those of a gateway that died are not connected for ever.
CREATE TABLE invitation_claimer (
    invitation BIGINT NOT NULL REFERENCES invitation,
    conn_id TEXT NOT NULL,
    expires_on TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (invitation, conn_id)
);
CREATE INDEX invitation_claimer_by_expiration ON invitation_claimer (expires_on);
