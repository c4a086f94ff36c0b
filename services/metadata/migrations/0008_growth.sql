-- Figures are kept where they change, so that no command reads more rows than it answers with.

-- A poll finds the newest change of each vlob by its index. The migration reads every change once.
ALTER TABLE vlob ADD COLUMN changed BIGINT; -- index of the newest change
UPDATE vlob SET changed = newest.index
FROM (SELECT vlob, max(index) AS index FROM realm_change GROUP BY vlob) newest WHERE newest.vlob = vlob._id;
UPDATE vlob SET changed = 0 WHERE changed IS NULL;
ALTER TABLE vlob ALTER COLUMN changed SET NOT NULL;
CREATE INDEX vlob_by_change ON vlob (realm, changed);
DROP INDEX vlob_by_realm;

-- An organization's figures are its tally and what its untallied realms have besides: each row says how much of it is in
-- the tally, so a write touches no row that others of the organization write.
ALTER TABLE realm
    ADD COLUMN vlobs_size BIGINT NOT NULL DEFAULT 0, -- of all versions, as first written
    ADD COLUMN copies_size BIGINT NOT NULL DEFAULT 0, -- of all versions encrypted again
    ADD COLUMN tallied_size BIGINT, -- part of both that is in the tally; null: the tally does not have the realm yet
    ADD COLUMN is_untallied BOOLEAN NOT NULL DEFAULT TRUE, -- the sizes have changed since
    -- Of a re-encryption: versions that are saved, and the index up to which all changes are.
    ADD COLUMN reencrypted BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN reencrypted_up_to BIGINT NOT NULL DEFAULT 0;

-- The blocks of a realm, in a few slots, so that blocks that are added at once seldom meet in a row.
CREATE TABLE realm_blocks (
    realm BIGINT NOT NULL REFERENCES realm,
    slot SMALLINT NOT NULL,
    organization BIGINT NOT NULL REFERENCES organization,
    size BIGINT NOT NULL,
    tallied_size BIGINT NOT NULL DEFAULT 0,
    is_untallied BOOLEAN NOT NULL DEFAULT TRUE,
    PRIMARY KEY (realm, slot)
) WITH (fillfactor = 50);

CREATE TABLE organization_tally (
    organization BIGINT PRIMARY KEY REFERENCES organization,
    realms BIGINT NOT NULL,
    metadata_size BIGINT NOT NULL,
    data_size BIGINT NOT NULL
) WITH (fillfactor = 50);

-- Kept by whoever holds the lock of the organization's people.
CREATE TABLE organization_users (
    organization BIGINT NOT NULL REFERENCES organization,
    profile TEXT NOT NULL CHECK (profile IN ('ADMIN', 'STANDARD', 'OUTSIDER')),
    active BIGINT NOT NULL,
    revoked BIGINT NOT NULL,
    PRIMARY KEY (organization, profile)
) WITH (fillfactor = 50);

-- Versions that clients stamped with an instant that was still to come: they count from then on.
CREATE TABLE early_version (
    organization BIGINT NOT NULL,
    realm BIGINT NOT NULL,
    size BIGINT NOT NULL,
    created_on TIMESTAMPTZ NOT NULL
);
CREATE INDEX early_version_by_organization ON early_version (organization, created_on);
CREATE INDEX early_version_by_realm ON early_version (realm, created_on);

UPDATE realm SET vlobs_size = written.size
FROM (SELECT realm, sum(size) AS size FROM realm_change GROUP BY realm) written WHERE written.realm = realm._id;
UPDATE realm SET copies_size = stored.size - vlobs_size, reencrypted = stored.reencrypted
FROM (
    SELECT vlob.realm, sum(atom.size) AS size,
        count(*) FILTER (WHERE realm.maintenance_type = 'REENCRYPTION' AND atom.encryption_revision = realm.encryption_revision) AS reencrypted
    FROM realm JOIN vlob ON vlob.realm = realm._id JOIN vlob_atom atom ON atom.vlob = vlob._id
    WHERE realm.encryption_revision > 1 GROUP BY vlob.realm
) stored WHERE stored.realm = realm._id;
INSERT INTO realm_blocks (realm, slot, organization, size)
SELECT realm, 0, organization, sum(size) FROM block WHERE deleted_on IS NULL GROUP BY realm, organization;
INSERT INTO organization_users (organization, profile, active, revoked)
SELECT organization, profile, count(*) FILTER (WHERE revoked_on IS NULL), count(*) FILTER (WHERE revoked_on IS NOT NULL)
FROM user_ GROUP BY organization, profile;
INSERT INTO early_version (organization, realm, size, created_on)
SELECT vlob.organization, vlob.realm, atom.size, atom.created_on FROM vlob JOIN vlob_atom atom ON atom.vlob = vlob._id
WHERE vlob.timestamp > now() AND atom.created_on > now();
INSERT INTO organization_tally (organization, realms, metadata_size, data_size)
SELECT realm.organization, count(*), sum(vlobs_size + copies_size), coalesce(sum(blocks.size), 0)
FROM realm LEFT JOIN realm_blocks blocks ON blocks.realm = realm._id GROUP BY realm.organization;
UPDATE realm SET tallied_size = vlobs_size + copies_size, is_untallied = FALSE;
UPDATE realm_blocks SET tallied_size = size, is_untallied = FALSE;
CREATE INDEX realm_untallied ON realm (organization) WHERE is_untallied;
CREATE INDEX realm_blocks_untallied ON realm_blocks (organization) WHERE is_untallied;

-- Ciphertext: trying to compress it is wasted work.
ALTER TABLE message ALTER COLUMN body SET STORAGE EXTERNAL;
ALTER TABLE shamir_recovery ALTER COLUMN ciphered_data SET STORAGE EXTERNAL;
ALTER TABLE shamir_recovery_share ALTER COLUMN share_certificate SET STORAGE EXTERNAL;
-- … and so is compressing what is compressed already.
ALTER TABLE user_
    ALTER COLUMN user_certificate SET STORAGE EXTERNAL,
    ALTER COLUMN redacted_user_certificate SET STORAGE EXTERNAL,
    ALTER COLUMN revoked_user_certificate SET STORAGE EXTERNAL;
ALTER TABLE device
    ALTER COLUMN device_certificate SET STORAGE EXTERNAL,
    ALTER COLUMN redacted_device_certificate SET STORAGE EXTERNAL;
ALTER TABLE realm_role ALTER COLUMN certificate SET STORAGE EXTERNAL;
ALTER TABLE realm_archiving ALTER COLUMN certificate SET STORAGE EXTERNAL;
