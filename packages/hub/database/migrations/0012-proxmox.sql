-- Machines as VMs of a Proxmox cluster: what is recorded before Proxmox is asked for anything, so that nothing there is without an owner here.

create table proxmox_vms (
  machine_id      text primary key,
  -- The number is the key to everything there: of the Hub's own range, taken here before the first call. Given back when the VM is gone.
  vmid            integer not null unique,
  node            text not null,
  name            text not null,
  -- Machines of one group stand apart where they can.
  machine_group   text,
  -- What it is cloned from.
  source_vmid     integer not null,
  source_node     text not null,
  source_snapshot text,
  -- When the clone was first asked for; null: never, so a VM of this number is not ours.
  cloned_at       timestamptz,
  -- The task under way, recorded before it is asked after.
  upid            text,
  -- made: cloned and configured. remains: destroyed, but the store still needs trees that only its disk has.
  state           text not null default 'making' check (state in ('making', 'made', 'remains')),
  -- The tree to be had at the next start: 'empty', a checkpoint's id, or null for the one on the disk.
  tree            text,
  -- Whether its agent shall run.
  agent           boolean not null default false,
  -- Its cores or memory were changed, which holds from the next boot of the VM on.
  reboot          boolean not null default false,
  limits          jsonb not null check (jsonb_typeof(limits) = 'object'),
  -- The last measures, for when it is off.
  last_usage      jsonb check (jsonb_typeof(last_usage) = 'object'),
  created_at      timestamptz not null default now()
);

-- One row: the number that was given last, so that none is given again soon.
create table proxmox_numbers (
  only_row  boolean primary key default true check (only_row),
  last_vmid integer not null
);
insert into proxmox_numbers (last_vmid) values (0);

create table proxmox_snapshots (
  checkpoint_id text primary key,
  machine_id    text not null,
  consistency   text not null check (consistency in ('consistent', 'fuzzy')),
  -- Whether Proxmox has a snapshot of the whole VM under this name.
  in_vm         boolean not null,
  -- taking: begun, and perhaps there. dropped: nobody needs it any more; it goes as soon as Proxmox lets go of it.
  state         text not null default 'taking' check (state in ('taking', 'taken', 'dropped')),
  created_at    timestamptz not null default now()
);
create index proxmox_snapshots_machine on proxmox_snapshots (machine_id);
