-- Sequester services, and what STORAGE services are given of each version.

CREATE TABLE sequester_service (
    _id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- in the order of creation within an organization
    organization BIGINT NOT NULL REFERENCES organization,
    service_id UUID NOT NULL,
    service_label TEXT NOT NULL,
    certificate BYTEA NOT NULL,
    type TEXT NOT NULL CHECK (type IN ('STORAGE', 'WEBHOOK')),
    webhook_url TEXT,
    created_on TIMESTAMPTZ NOT NULL, -- timestamp of the certificate
    disabled_on TIMESTAMPTZ, -- null: enabled
    UNIQUE (organization, service_id),
    CHECK ((type = 'WEBHOOK') = (webhook_url IS NOT NULL))
);

-- A version has one blob for each service of its time, whatever revision the version is encrypted for later.
-- Append-only like the versions themselves, hence without foreign keys.
CREATE TABLE sequester_blob (
    service BIGINT NOT NULL, -- sequester_service
    vlob BIGINT NOT NULL,
    version BIGINT NOT NULL,
    blob BYTEA NOT NULL,
    PRIMARY KEY (service, vlob, version)
);
ALTER TABLE sequester_blob ALTER COLUMN blob SET STORAGE EXTERNAL;
