-- Enrollment: with X.509 certificates, by the invitations of API v1, and by recovery from shares.

CREATE TABLE pki_enrollment (
    _id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- in the order of submission within an organization
    organization BIGINT NOT NULL REFERENCES organization,
    enrollment_id UUID NOT NULL,
    submitter_der_x509_certificate BYTEA NOT NULL,
    submit_payload_signature BYTEA NOT NULL,
    submit_payload BYTEA NOT NULL,
    submitted_on TIMESTAMPTZ NOT NULL,
    enrollment_status TEXT NOT NULL CHECK (enrollment_status IN ('SUBMITTED', 'ACCEPTED', 'REJECTED', 'CANCELLED')),
    decided_on TIMESTAMPTZ, -- when it was accepted, rejected or cancelled
    accepter BIGINT REFERENCES device,
    accepted BIGINT REFERENCES device, -- first device of the user that it made
    accepter_der_x509_certificate BYTEA,
    accept_payload_signature BYTEA,
    accept_payload BYTEA,
    UNIQUE (organization, enrollment_id),
    CHECK ((enrollment_status = 'SUBMITTED') = (decided_on IS NULL)),
    CHECK ((enrollment_status = 'ACCEPTED') = (accepted IS NOT NULL))
);
CREATE INDEX pki_enrollment_by_certificate ON pki_enrollment (organization, sha256(submitter_der_x509_certificate), _id);
CREATE INDEX pki_enrollment_submitted ON pki_enrollment (organization, _id) WHERE enrollment_status = 'SUBMITTED';

-- A later invitation of the same id takes the place of the former; only a cancellation deletes one.
CREATE TABLE legacy_invitation (
    organization BIGINT NOT NULL REFERENCES organization,
    invited TEXT NOT NULL, -- user_id, or device_id: only the latter has an @
    creator BIGINT NOT NULL REFERENCES device,
    created_on TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (organization, invited)
);

-- Never deleted: what a replaced or cleared setup protects stays within reach of its shares.
CREATE TABLE shamir_recovery (
    _id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization BIGINT NOT NULL REFERENCES organization,
    user_ BIGINT NOT NULL REFERENCES user_, -- whom it recovers
    reveal_token UUID NOT NULL,
    brief_certificate BYTEA NOT NULL,
    threshold BIGINT NOT NULL,
    ciphered_data BYTEA NOT NULL,
    created_on TIMESTAMPTZ NOT NULL,
    UNIQUE (organization, reveal_token)
);
CREATE INDEX shamir_recovery_by_user ON shamir_recovery (user_);

CREATE TABLE shamir_recovery_share (
    shamir_recovery BIGINT NOT NULL REFERENCES shamir_recovery,
    recipient BIGINT NOT NULL REFERENCES user_,
    share_certificate BYTEA NOT NULL,
    shares BIGINT NOT NULL, -- the weight of this recipient
    PRIMARY KEY (shamir_recovery, recipient)
);
CREATE INDEX shamir_recovery_share_by_recipient ON shamir_recovery_share (recipient);

-- The active setup; null: none.
ALTER TABLE user_ ADD COLUMN shamir_recovery BIGINT REFERENCES shamir_recovery;

-- The setup that a SHAMIR_RECOVERY invitation is about; its greeters are the recipients of the shares.
ALTER TABLE invitation ADD COLUMN shamir_recovery BIGINT REFERENCES shamir_recovery;
CREATE INDEX invitation_by_shamir_recovery ON invitation (shamir_recovery) WHERE deleted_on IS NULL;
