-- Invitations of users and devices (API v2 and later).

CREATE TABLE invitation (
    _id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization BIGINT NOT NULL REFERENCES organization,
    token UUID NOT NULL,
    type TEXT NOT NULL CHECK (type IN ('USER', 'DEVICE', 'SHAMIR_RECOVERY')),
    greeter BIGINT NOT NULL REFERENCES user_,
    claimer_email TEXT,
    created_on TIMESTAMPTZ NOT NULL,
    deleted_on TIMESTAMPTZ,
    deleted_reason TEXT CHECK (deleted_reason IN ('FINISHED', 'CANCELLED', 'ROTTEN')),
    UNIQUE (organization, token)
);
