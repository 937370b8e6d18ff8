-- The first schema: projects, machines, runs, checkpoints, money, operations, events, keys.
-- Amounts are bigint in the resource's own unit (money: nano-US-dollars). Times are timestamptz, written by the Hub's clock.

create table sources (
  sha256       text primary key check (sha256 ~ '^[0-9a-f]{64}$'),
  bytes        bigint not null check (bytes > 0),
  commit       text not null,
  base_commit  text not null,
  branch       text,
  dirty        boolean not null,
  imported_at  timestamptz not null
);

create table projects (
  id             text primary key,
  name           text not null unique,
  source_sha256  text references sources,
  created_at     timestamptz not null
);

create table machines (
  id                    text primary key,
  name                  text not null,
  project_id            text not null references projects,
  state                 text not null,
  state_reason          text,
  substrate             text,
  isolation             text,
  copy_tier             text,
  -- The source that the agent checks out into an empty tree; null when the tree came from a checkpoint.
  source_sha256         text references sources,
  parent_checkpoint_id  text,
  head_checkpoint_id    text,
  -- SHA-256 of the token; null once the machine may no longer speak.
  token_hash            text unique,
  allow_unisolated      boolean not null default false,
  boot_id               text,
  registered_at         timestamptz,
  last_heartbeat_at     timestamptz,
  -- What the Hub wants of the agent; every change raises the revision (door: Instructions).
  control               text not null default 'idle',
  revision              bigint not null default 1,
  quiet_revision        bigint,
  notice                text,
  run_id                text,
  created_at            timestamptz not null,
  destroyed_at          timestamptz
);
-- A name is taken while its machine lives.
create unique index machines_name_living on machines (name) where destroyed_at is null;
create index machines_by_project on machines (project_id, id);
create index machines_living on machines (id) where destroyed_at is null;

create table runs (
  id                   text primary key,
  project_id           text not null references projects,
  machine_id           text not null references machines,
  prompt               text not null,
  agent                text not null,
  provider             text not null,
  model                text not null,
  check_command        text,
  state                text not null,
  state_reason         text,
  summary              text,
  check_result         jsonb,
  agent_reported_cost  bigint,
  budget_id            text,
  resume               boolean not null default false,
  created_at           timestamptz not null,
  started_at           timestamptz,
  ended_at             timestamptz
);
create index runs_by_machine on runs (machine_id, id);
create index runs_by_project on runs (project_id, id);
-- One run at a time on a machine.
create unique index runs_one_open_per_machine on runs (machine_id) where ended_at is null;

create table steps (
  run_id      text not null references runs,
  index       integer not null check (index > 0),
  model       text not null,
  message_id  text,
  text        text not null,
  tools       jsonb not null,
  started_at  timestamptz not null,
  ended_at    timestamptz,
  primary key (run_id, index)
);

create table checkpoints (
  id               text primary key,
  project_id       text not null references projects,
  machine_id       text not null references machines,
  run_id           text references runs,
  parent_id        text references checkpoints,
  trigger          text not null,
  label            text,
  state            text not null,
  state_reason     text,
  consistency      text,
  -- The substrate's own handle; null once the snapshot was dropped.
  snapshot         text,
  substrate        text,
  isolation        text,
  copy_tier        text,
  manifest_sha256  text,
  files            bigint,
  bytes            bigint,
  new_bytes        bigint,
  step             integer,
  spent            bigint not null default 0,
  source_sha256    text references sources,
  created_at       timestamptz not null,
  verified_at      timestamptz
);
create index checkpoints_by_machine on checkpoints (machine_id, id);
create index checkpoints_by_project on checkpoints (project_id, id);
create index checkpoints_by_parent on checkpoints (parent_id);
create index checkpoints_by_run on checkpoints (run_id, id);

create table budgets (
  id          text primary key,
  parent_id   text references budgets,
  scope       text not null,
  scope_id    text not null,
  resource    text not null,
  "limit"     bigint not null check ("limit" >= 0),
  settled     bigint not null default 0 check (settled >= 0),
  reserved    bigint not null default 0 check (reserved >= 0),
  version     bigint not null default 1,
  created_at  timestamptz not null,
  closed_at   timestamptz
);
create unique index budgets_one_open_per_scope on budgets (scope, scope_id, resource) where closed_at is null;
create index budgets_by_parent on budgets (parent_id);

create table reservations (
  id                text primary key,
  -- The narrowest budget; the chain above it is held too.
  budget_id         text not null references budgets,
  -- Says the same thing twice at most: a second reserve with this key answers as the first.
  idempotency_key   text not null unique,
  holder            text not null,
  amount            bigint not null check (amount >= 0),
  state             text not null,
  settled_amount    bigint,
  lease_expires_at  timestamptz not null,
  created_at        timestamptz not null,
  ended_at          timestamptz
);
create index reservations_open on reservations (lease_expires_at) where state = 'open';

create table ledger_entries (
  seq             bigint generated always as identity primary key,
  budget_id       text not null references budgets,
  reservation_id  text not null references reservations,
  usage_event_id  text,
  kind            text not null,
  reserved_delta  bigint not null,
  settled_delta   bigint not null,
  at              timestamptz not null
);
create index ledger_entries_by_budget on ledger_entries (budget_id, seq);
create index ledger_entries_by_reservation on ledger_entries (reservation_id);

create table usage_events (
  id              text primary key,
  project_id      text not null references projects,
  machine_id      text references machines,
  run_id          text references runs,
  resource        text not null,
  amount          bigint not null,
  quality         text not null,
  provider        text,
  model           text,
  message_id      text,
  tokens          jsonb,
  cost            bigint not null default 0,
  price_version   text,
  reservation_id  text references reservations,
  first_byte_ms   integer,
  total_ms        integer,
  detail          jsonb not null default '{}',
  at              timestamptz not null
);
create index usage_events_by_run on usage_events (run_id, id);
create index usage_events_by_project on usage_events (project_id, id);
create index usage_events_by_message on usage_events (message_id) where message_id is not null;

create table operations (
  id                   text primary key,
  kind                 text not null,
  version              integer not null,
  -- The names of the steps as they were when the operation began.
  steps                text[] not null,
  input                jsonb not null,
  outputs              jsonb not null default '{}',
  project_id           text references projects,
  machine_id           text references machines,
  run_id               text references runs,
  checkpoint_id        text references checkpoints,
  -- Keeps every other exclusive operation off the machine until it ends or lets go.
  exclusive            boolean not null,
  state                text not null,
  -- The step in flight; steps.length when all are done.
  step_index           integer not null default 0,
  step_attempts        integer not null default 0,
  step_started_at      timestamptz,
  -- What a pending step stored to find its work again.
  handle               jsonb,
  error                jsonb,
  cancel_requested_at  timestamptz,
  wake_at              timestamptz not null,
  lease_owner          text,
  lease_expires_at     timestamptz,
  -- Grows with every claim; a record from an older claim is refused.
  fence                bigint not null default 0,
  created_at           timestamptz not null,
  ended_at             timestamptz
);
create unique index operations_one_exclusive_per_machine on operations (machine_id) where exclusive and ended_at is null;
create index operations_due on operations (wake_at) where ended_at is null and state <> 'stuck';
create index operations_by_machine on operations (machine_id, id);

create table operation_steps (
  operation_id  text not null references operations,
  index         integer not null,
  name          text not null,
  kind          text not null,
  state         text not null,
  attempts      integer not null default 0,
  started_at    timestamptz,
  ended_at      timestamptz,
  primary key (operation_id, index)
);

-- Readers follow (xid, seq) below the oldest transaction still running, so that an event committed late is never skipped.
create table events (
  seq            bigint generated always as identity,
  xid            xid8 not null default pg_current_xact_id(),
  id             text not null unique,
  type           text not null,
  at             timestamptz not null,
  project_id     text,
  machine_id     text,
  run_id         text,
  operation_id   text,
  checkpoint_id  text,
  data           jsonb not null default '{}',
  primary key (xid, seq)
);
create index events_by_run on events (run_id, xid, seq) where run_id is not null;
create index events_by_machine on events (machine_id, xid, seq) where machine_id is not null;
create index events_by_operation on events (operation_id, xid, seq) where operation_id is not null;

create function notify_events() returns trigger language plpgsql as $$
begin
  perform pg_notify('autovibe_events', '');
  return null;
end $$;
create trigger events_notify after insert on events for each statement execute function notify_events();

-- The last event of each boot that was stored, so that a batch sent twice is stored once.
create table machine_event_streams (
  machine_id  text not null references machines,
  boot_id     text not null,
  stored_seq  bigint not null,
  primary key (machine_id, boot_id)
);

create table providers (
  name           text primary key,
  wire           text not null,
  base_url       text not null,
  default_model  text not null,
  simulated      boolean not null,
  -- AES-256-GCM under the master key; see security/secrets.ts.
  key_sealed     bytea,
  updated_at     timestamptz not null
);

create table api_keys (
  id            text primary key,
  name          text not null,
  role          text not null,
  secret_hash   text not null unique,
  created_at    timestamptz not null,
  last_used_at  timestamptz,
  revoked_at    timestamptz
);

create table idempotency_keys (
  api_key_id    text not null references api_keys,
  key           text not null,
  request_hash  text not null,
  status        integer,
  response      jsonb,
  created_at    timestamptz not null,
  primary key (api_key_id, key)
);
create index idempotency_keys_by_age on idempotency_keys (created_at);

-- Who asked for what, in the transaction of the change.
create table audit_log (
  seq         bigint generated always as identity primary key,
  at          timestamptz not null,
  actor       text not null,
  action      text not null,
  subject     text not null,
  request_id  text,
  detail      jsonb not null default '{}'
);
