-- What administrators look at: when devices were last here, and how much there was.

-- In rows of their own, which are small and change in place: those of `device` hold certificates.
CREATE TABLE device_seen (
    device BIGINT PRIMARY KEY REFERENCES device,
    organization BIGINT NOT NULL REFERENCES organization,
    user_ BIGINT NOT NULL REFERENCES user_,
    seen_on TIMESTAMPTZ NOT NULL
) WITH (fillfactor = 50);
CREATE INDEX device_seen_by_user ON device_seen (user_);
CREATE INDEX device_seen_by_organization ON device_seen (organization);

-- Sums over all organizations, one for each hour in which a service ran.
CREATE TABLE figures_sample (
    hour TIMESTAMPTZ PRIMARY KEY,
    organizations BIGINT NOT NULL,
    users BIGINT NOT NULL,
    active_users BIGINT NOT NULL,
    realms BIGINT NOT NULL,
    data_size BIGINT NOT NULL,
    metadata_size BIGINT NOT NULL
);
