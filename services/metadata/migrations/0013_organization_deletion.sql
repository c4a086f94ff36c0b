-- Organizations can be deleted. `deletion_code`: its deletion has begun, with this code; null: it stays.
ALTER TABLE organization ADD COLUMN deletion_code TEXT;

-- References without an index would be looked for in all rows of all organizations, once for each person and device
-- that goes. Their rows are written in the transaction that has read what they refer to, like those of vlob_atom.
ALTER TABLE block DROP CONSTRAINT block_author_fkey;
ALTER TABLE realm_role DROP CONSTRAINT realm_role_user__fkey, DROP CONSTRAINT realm_role_certifier_fkey;
ALTER TABLE realm_archiving DROP CONSTRAINT realm_archiving_certifier_fkey;
ALTER TABLE invitation DROP CONSTRAINT invitation_greeter_fkey, DROP CONSTRAINT invitation_shamir_recovery_fkey;
ALTER TABLE pki_enrollment DROP CONSTRAINT pki_enrollment_accepter_fkey, DROP CONSTRAINT pki_enrollment_accepted_fkey;
ALTER TABLE legacy_invitation DROP CONSTRAINT legacy_invitation_creator_fkey;
ALTER TABLE user_ DROP CONSTRAINT user__shamir_recovery_fkey;
