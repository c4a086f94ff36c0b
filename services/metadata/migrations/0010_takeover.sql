-- What was taken over from another server, so that an import that was interrupted goes on where it was.

CREATE TABLE import_record (
    organization_id TEXT PRIMARY KEY,
    source TEXT NOT NULL, -- what names the database or the archive that it came from
    blocks_up_to UUID, -- of blocks that are copied to another store: up to which they are there
    completed_on TIMESTAMPTZ, -- null: nothing but blocks yet
    measured JSONB -- rows and bytes by table as the source had them
);
