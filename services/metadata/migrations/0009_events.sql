-- Events in order, and what cannot be told.

-- How often the realm's roles, state or configuration have changed. With the index of its newest change it numbers the
-- realm's events without gaps, so that gateways tell them in the order of their commits.
ALTER TABLE realm ADD COLUMN steps BIGINT NOT NULL DEFAULT 0;

-- Rows live for a moment: space is taken up again as soon as a few thousand are gone, however large the table once was.
ALTER TABLE outbox SET (
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0,
    autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 50000
);

-- Events that the bus does not take, for people to look at.
CREATE TABLE outbox_failed (
    _id BIGINT PRIMARY KEY,
    subject TEXT NOT NULL,
    event BYTEA NOT NULL,
    created_on TIMESTAMPTZ NOT NULL,
    failed_on TIMESTAMPTZ NOT NULL DEFAULT now(),
    reason TEXT NOT NULL
);

-- Which database this is: two of them on the same subjects of one bus would be mixed.
CREATE TABLE deployment (database_id UUID NOT NULL);
INSERT INTO deployment VALUES (md5(random()::text || clock_timestamp()::text)::uuid);

-- Metadata services that work on this database, each with a lease: those without a common bus do not hear of each other.
CREATE TABLE process (
    _id UUID PRIMARY KEY,
    started_on TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    seen_on TIMESTAMPTZ NOT NULL
);
