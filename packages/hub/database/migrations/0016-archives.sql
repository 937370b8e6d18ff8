-- Archives: Proxmox's own copies of whole machines, on a storage of the cluster that takes such copies.

create table machine_archives (
  id            text primary key,
  project_id    text not null references projects,
  machine_id    text not null references machines,
  -- Its tree lies frozen in the copy.
  checkpoint_id text not null references checkpoints,
  state         text not null default 'taking' check (state in ('taking', 'stored', 'removing', 'removed', 'failed')),
  state_reason  text,
  -- none: nobody reads it back. pending: a backup server that has not done so yet. Null: it is not stored yet.
  verification  text check (verification in ('none', 'pending', 'ok', 'failed')),
  -- At the last look the storage no longer showed it.
  missing       boolean not null default false,
  storage       text not null,
  volume        text,
  size_bytes    bigint check (size_bytes >= 0),
  created_at    timestamptz not null,
  stored_at     timestamptz,
  looked_at     timestamptz,
  check (state not in ('stored', 'removing') or (volume is not null and verification is not null and stored_at is not null))
);
-- Of one machine one is taken at a time: Proxmox locks the VM meanwhile.
create unique index machine_archives_one_taking on machine_archives (machine_id) where state = 'taking';
create index machine_archives_machine on machine_archives (machine_id, id);

create table proxmox_archives (
  archive_id    text primary key,
  machine_id    text not null,
  checkpoint_id text not null,
  vmid          integer not null,
  storage       text not null,
  node          text not null,
  -- gone: given up or removed; kept, so that a copy which lands late is known to be nobody's.
  state         text not null default 'taking' check (state in ('taking', 'stored', 'gone')),
  -- When Proxmox was about to be asked; null: never, so that no task is ours.
  asked_at      timestamptz,
  -- The task under way, recorded before it is asked after, and those that ended without a copy.
  upid          text,
  ended_upids   text[] not null default '{}',
  volid         text,
  created_at    timestamptz not null default now()
);
create index proxmox_archives_machine on proxmox_archives (machine_id);
