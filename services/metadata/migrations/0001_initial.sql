-- Organizations and their people, realms, vlobs, blocks, messages, and the outbox of events.
--
-- Every key includes the organization, so no query can cross into another one. Append-only tables (vlob_atom,
-- realm_change, message) carry no foreign keys: their rows are written in the transaction that holds their parent,
-- and nothing is ever deleted.

CREATE TABLE migration (
    _id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    applied TIMESTAMPTZ NOT NULL,
    checksum TEXT NOT NULL
);

CREATE TABLE organization (
    _id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization_id TEXT NOT NULL UNIQUE,
    bootstrap_token TEXT NOT NULL,
    root_verify_key BYTEA,
    is_expired BOOLEAN NOT NULL DEFAULT FALSE,
    expiration_date TIMESTAMPTZ,
    user_profile_outsider_allowed BOOLEAN NOT NULL,
    active_users_limit INTEGER,
    minimum_archiving_period INTEGER NOT NULL DEFAULT 2592000,
    sequester_authority_certificate BYTEA,
    sequester_verify_key_der BYTEA,
    created_on TIMESTAMPTZ NOT NULL,
    bootstrapped_on TIMESTAMPTZ,
    expired_on TIMESTAMPTZ
);

CREATE TABLE human (
    _id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization BIGINT NOT NULL REFERENCES organization,
    email TEXT NOT NULL,
    label TEXT NOT NULL, -- the first one ever given for the email
    folded_email TEXT NOT NULL, -- in lower case, the same on every database locale
    folded_label TEXT NOT NULL,
    UNIQUE (organization, email)
);

CREATE TABLE user_ (
    _id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization BIGINT NOT NULL REFERENCES organization,
    user_id TEXT NOT NULL,
    folded_user_id TEXT NOT NULL, -- in lower case
    profile TEXT NOT NULL CHECK (profile IN ('ADMIN', 'STANDARD', 'OUTSIDER')),
    human BIGINT REFERENCES human,
    user_certificate BYTEA NOT NULL,
    redacted_user_certificate BYTEA NOT NULL,
    user_certifier BIGINT, -- device; null: the root key
    created_on TIMESTAMPTZ NOT NULL,
    revoked_on TIMESTAMPTZ,
    revoked_user_certificate BYTEA,
    revoked_user_certifier BIGINT, -- device
    frozen BOOLEAN NOT NULL DEFAULT FALSE,
    message_count BIGINT NOT NULL DEFAULT 0, -- index of the newest message
    UNIQUE (organization, user_id)
) WITH (fillfactor = 80);
CREATE INDEX user_by_human ON user_ (human);
CREATE INDEX user_active ON user_ (organization) WHERE revoked_on IS NULL;

CREATE TABLE device (
    _id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization BIGINT NOT NULL REFERENCES organization,
    user_ BIGINT NOT NULL REFERENCES user_,
    device_id TEXT NOT NULL,
    device_label TEXT,
    verify_key BYTEA NOT NULL,
    device_certificate BYTEA NOT NULL,
    redacted_device_certificate BYTEA NOT NULL,
    device_certifier BIGINT, -- device; null: the root key
    created_on TIMESTAMPTZ NOT NULL,
    UNIQUE (organization, device_id)
);
CREATE INDEX device_by_user ON device (user_);

CREATE TABLE message (
    recipient BIGINT NOT NULL, -- user_
    index BIGINT NOT NULL, -- 1, 2, 3… without gaps
    sender TEXT NOT NULL, -- device_id
    timestamp TIMESTAMPTZ NOT NULL,
    body BYTEA NOT NULL,
    PRIMARY KEY (recipient, index)
);

-- A realm's row is the lock that orders every change in the realm.
CREATE TABLE realm (
    _id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization BIGINT NOT NULL REFERENCES organization,
    realm_id UUID NOT NULL,
    encryption_revision BIGINT NOT NULL DEFAULT 1,
    checkpoint BIGINT NOT NULL DEFAULT 0, -- index of the newest change
    maintenance_type TEXT CHECK (maintenance_type IN ('GARBAGE_COLLECTION', 'REENCRYPTION')),
    maintenance_started_on TIMESTAMPTZ,
    maintenance_started_by TEXT, -- device_id
    archiving TEXT NOT NULL DEFAULT 'AVAILABLE' CHECK (archiving IN ('AVAILABLE', 'ARCHIVED', 'DELETION_PLANNED')),
    deletion_date TIMESTAMPTZ,
    created_on TIMESTAMPTZ NOT NULL, -- timestamp of the first role certificate
    UNIQUE (organization, realm_id)
) WITH (fillfactor = 80);

-- What a user may do in a realm now, and the newest of what they did there.
CREATE TABLE realm_user (
    realm BIGINT NOT NULL REFERENCES realm,
    user_ BIGINT NOT NULL REFERENCES user_,
    role TEXT CHECK (role IN ('OWNER', 'MANAGER', 'CONTRIBUTOR', 'READER')),
    certified_on TIMESTAMPTZ, -- newest role certificate about the user; null: none yet
    last_role_change TIMESTAMPTZ, -- newest role certificate that the user issued
    last_vlob_update TIMESTAMPTZ,
    last_archiving_change TIMESTAMPTZ,
    PRIMARY KEY (realm, user_)
) WITH (fillfactor = 80);
CREATE INDEX realm_user_by_user ON realm_user (user_);

CREATE TABLE realm_role (
    _id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    realm BIGINT NOT NULL REFERENCES realm,
    user_ BIGINT NOT NULL REFERENCES user_,
    role TEXT,
    certificate BYTEA NOT NULL,
    certifier BIGINT NOT NULL REFERENCES device,
    certified_on TIMESTAMPTZ NOT NULL
);
CREATE INDEX realm_role_by_realm ON realm_role (realm, certified_on);

CREATE TABLE vlob (
    _id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization BIGINT NOT NULL REFERENCES organization,
    vlob_id UUID NOT NULL,
    realm BIGINT NOT NULL REFERENCES realm,
    version BIGINT NOT NULL, -- newest
    timestamp TIMESTAMPTZ NOT NULL, -- of the newest version
    UNIQUE (organization, vlob_id)
) WITH (fillfactor = 80);
CREATE INDEX vlob_by_realm ON vlob (realm);

-- One row per version and encryption revision: a re-encryption adds a copy of each version.
CREATE TABLE vlob_atom (
    vlob BIGINT NOT NULL,
    encryption_revision BIGINT NOT NULL,
    version BIGINT NOT NULL,
    blob BYTEA NOT NULL,
    size BIGINT NOT NULL,
    author BIGINT NOT NULL, -- device
    created_on TIMESTAMPTZ NOT NULL, -- chosen by the client
    PRIMARY KEY (vlob, encryption_revision, version)
);
-- Blobs are ciphertext: trying to compress them is wasted work.
ALTER TABLE vlob_atom ALTER COLUMN blob SET STORAGE EXTERNAL;

-- Every version as first written; index is the checkpoint that clients poll with.
CREATE TABLE realm_change (
    realm BIGINT NOT NULL,
    index BIGINT NOT NULL, -- 1, 2, 3… without gaps
    vlob BIGINT NOT NULL,
    version BIGINT NOT NULL,
    size BIGINT NOT NULL,
    PRIMARY KEY (realm, index)
);

CREATE TABLE block (
    _id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization BIGINT NOT NULL REFERENCES organization,
    block_id UUID NOT NULL,
    realm BIGINT NOT NULL REFERENCES realm,
    author BIGINT NOT NULL REFERENCES device,
    size BIGINT NOT NULL,
    created_on TIMESTAMPTZ NOT NULL,
    deleted_on TIMESTAMPTZ,
    UNIQUE (organization, block_id)
);
CREATE INDEX block_by_realm ON block (realm) INCLUDE (size);

-- Contents of blocks, for the POSTGRESQL block store.
CREATE TABLE block_data (
    organization_id TEXT NOT NULL,
    block_id UUID NOT NULL,
    data BYTEA NOT NULL,
    PRIMARY KEY (organization_id, block_id)
);
ALTER TABLE block_data ALTER COLUMN data SET STORAGE EXTERNAL;

-- Events of committed changes that are not yet known to be published.
CREATE TABLE outbox (
    _id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    subject TEXT NOT NULL,
    event BYTEA NOT NULL,
    created_on TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp()
);
