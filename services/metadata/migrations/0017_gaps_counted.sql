-- Nothing but an import leaves gaps. By itself, and with the checkpoints of one moment: others write meanwhile.
UPDATE realm SET gaps = logged.gaps
FROM (
    SELECT realm._id AS realm, realm.checkpoint - count(change.index) AS gaps
    FROM import_record JOIN organization USING (organization_id) JOIN realm ON realm.organization = organization._id
    LEFT JOIN realm_change change ON change.realm = realm._id
    GROUP BY realm._id
) logged
WHERE logged.realm = realm._id AND logged.gaps <> 0;
