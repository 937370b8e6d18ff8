-- What machines may take of their host, and what they are seen to take.

-- What is set; what is left out is as the Hub's host allows (see core/limits/choose.ts).
alter table projects add column limits jsonb not null default '{}' check (jsonb_typeof(limits) = 'object');
-- All of them, chosen when the machine was asked for. Null for machines from before: those of the host hold.
alter table machines add column limits jsonb check (jsonb_typeof(limits) = 'object');

-- How long a run has been at work, by the Hub's clock: pauses, and times in which its machine was stopped, are left out.
alter table runs
  add column worked_ms      bigint not null default 0 check (worked_ms >= 0),
  add column working_since  timestamptz;

-- What a machine's counters showed when they were last taken, so that no second is counted twice and none is lost when a Hub dies (see core/metering/account.ts).
create table machine_meters (
  machine_id            text primary key references machines,
  -- The counters of one life, from start to end, begin at zero.
  life                  text not null,
  cpu_taken_us          bigint not null check (cpu_taken_us >= 0),
  cpu_owed_us           bigint not null,
  cpu_total_us          bigint not null check (cpu_total_us >= 0),
  run_id                text references runs,
  run_closed            boolean not null,
  wall_charged_seconds  bigint not null check (wall_charged_seconds >= 0),
  -- Null until its disk was looked at first, for one that began with the files of another.
  disk_charged_bytes    bigint check (disk_charged_bytes >= 0),
  disk_bytes            bigint,
  peak_memory_bytes     bigint not null,
  quality               text not null check (quality in ('measured', 'estimated')),
  charged_at            timestamptz not null,
  round                 bigint not null,
  -- Charges that are written down but perhaps not in the ledger yet; each has a key, so that doing them again counts once.
  pending               jsonb not null default '[]' check (jsonb_typeof(pending) = 'array'),
  -- The limit that this life has reached, if it has.
  reached               jsonb check (jsonb_typeof(reached) = 'object')
);
