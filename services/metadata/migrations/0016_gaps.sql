-- Numbers up to its checkpoint that the change log of a realm lacks: other servers, from which it was taken over, left some
-- out. A re-encryption has that much less to do.
ALTER TABLE realm ADD COLUMN gaps BIGINT NOT NULL DEFAULT 0;
