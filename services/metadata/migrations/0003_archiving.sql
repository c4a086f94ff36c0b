-- Every archiving certificate of a realm; the newest is also what the realm's own row says.

CREATE TABLE realm_archiving (
    _id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    realm BIGINT NOT NULL REFERENCES realm,
    configuration TEXT NOT NULL CHECK (configuration IN ('AVAILABLE', 'ARCHIVED', 'DELETION_PLANNED')),
    deletion_date TIMESTAMPTZ,
    certificate BYTEA NOT NULL,
    certifier BIGINT NOT NULL REFERENCES device,
    certified_on TIMESTAMPTZ NOT NULL
);
CREATE INDEX realm_archiving_by_realm ON realm_archiving (realm, certified_on);
