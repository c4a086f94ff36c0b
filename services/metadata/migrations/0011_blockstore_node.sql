-- Which storages are the nodes of the block store: each carries a marker object that says the same.
CREATE TABLE blockstore_node (
  index SMALLINT PRIMARY KEY,
  array_id UUID NOT NULL,
  -- `single`, RAID0, RAID1 or RAID5
  kind TEXT NOT NULL,
  nodes SMALLINT NOT NULL,
  -- Of this storage: another one that takes its place gets another.
  node_id UUID NOT NULL,
  -- Whether its marker has been written.
  is_marked BOOLEAN NOT NULL,
  adopted_on TIMESTAMPTZ NOT NULL DEFAULT now()
);
