-- Blocks on several nodes: which of them missed the upload, and that there is one upload of a block at a time.

ALTER TABLE block ADD COLUMN missed_nodes SMALLINT[]; -- null: none
CREATE INDEX block_with_missed_nodes ON block (_id) WHERE missed_nodes IS NOT NULL;

-- Forgotten by a crash of the database, which ends all uploads.
CREATE UNLOGGED TABLE block_upload (
    organization BIGINT NOT NULL,
    block_id UUID NOT NULL,
    upload UUID NOT NULL,
    expires_on TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (organization, block_id)
);
