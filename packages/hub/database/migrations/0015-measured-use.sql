-- What Proxmox itself counts of its VMs, what their network cards carried, and what runs used, for proposals of limits.

-- What the cluster counted in this life of the machine (see KeptMeter in proxmox-tables.ts); its own word, beside that of the guest in last_usage.
alter table proxmox_vms add column meter jsonb check (jsonb_typeof(meter) = 'object');

alter table machine_meters
  -- As cpu_taken_us, of what the network cards carried in this life.
  add column network_taken_bytes bigint not null default 0 check (network_taken_bytes >= 0),
  -- Whether this life was told of as one whose machine tells less than its host sees.
  add column doubted             boolean not null default false;

-- One row for each run: how much it used while it was at work. Small, so that they may stay as long as runs do.
create table run_uses (
  run_id            text primary key references runs,
  machine_id        text not null references machines,
  project_id        text not null references projects,
  -- Those that held for its machine.
  limits            jsonb not null check (jsonb_typeof(limits) = 'object'),
  -- How many milliseconds it kept how many processors busy, by steps (see core/limits/busy-times.ts).
  busy_ms           jsonb not null check (jsonb_typeof(busy_ms) = 'object'),
  peak_memory_bytes bigint not null check (peak_memory_bytes >= 0),
  peak_disk_bytes   bigint check (peak_disk_bytes >= 0),
  updated_at        timestamptz not null
);
-- The newest of a project are what its next machines are measured by.
create index run_uses_project on run_uses (project_id, updated_at desc);
