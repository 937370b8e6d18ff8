-- The ledger as one writer keeps it: balances are decided in memory, and every batch of movements is committed by one statement.

-- A cap may be for a period of the calendar (UTC), of which one scope may have several; the chain runs through all of them.
alter table budgets
  add column period          text not null default 'total' check (period in ('total', 'daily', 'weekly', 'monthly')),
  add column period_ends_at  timestamptz check ((period = 'total') = (period_ends_at is null)),
  -- Percents of the limit at which people are told.
  add column thresholds      integer[] not null default '{80,95}',
  -- What happens to a run at this limit.
  add column policy          text not null default 'park' check (policy in ('park', 'finish-step', 'wind-down')),
  -- How much of what is left at the parent this budget may take at once, in millionths.
  add column share_ppm       bigint not null default 1000000 check (share_ppm between 0 and 1000000),
  -- A bill was above its hold: nothing more may be reserved until somebody has looked at it.
  add column frozen_at       timestamptz;
drop index budgets_one_open_per_scope;
create unique index budgets_one_open_per_scope on budgets (scope, scope_id, resource, period) where closed_at is null;
create index budgets_by_end_of_period on budgets (period_ends_at) where closed_at is null and period_ends_at is not null;

-- A reservation keeps the links that it is held on: a cap that is set later has no part in it.
alter table reservations
  add column budget_ids  text[],
  add column project_id  text,
  add column machine_id  text,
  add column run_id      text;
update reservations r set budget_ids = (
  with recursive chain (id, parent_id, depth) as (
    select b.id, b.parent_id, 1 from budgets b where b.id = r.budget_id
    union all
    select b.id, b.parent_id, chain.depth + 1 from budgets b join chain on b.id = chain.parent_id
  )
  select array_agg(id order by depth) from chain);
update reservations r set run_id = run.id, machine_id = run.machine_id, project_id = run.project_id from runs run where run.budget_id = r.budget_id;
alter table reservations alter column budget_ids set not null;

-- One row for each movement instead of one for each link; the links stand on the reservation.
delete from ledger_entries e using reservations r where r.id = e.reservation_id and e.budget_id <> r.budget_id;
alter table ledger_entries alter column reservation_id drop not null;
drop index ledger_entries_by_reservation;

-- These tables are written thousands of times a second by the one writer, which has just read what they refer to; each foreign key would
-- look that up again and lock it, and all calls share the rows of one project. The audit of the ledger finds a row that refers to nothing.
alter table reservations drop constraint reservations_budget_id_fkey;
alter table ledger_entries drop constraint ledger_entries_budget_id_fkey, drop constraint ledger_entries_reservation_id_fkey;
alter table usage_events
  drop constraint usage_events_project_id_fkey,
  drop constraint usage_events_machine_id_fkey,
  drop constraint usage_events_run_id_fkey,
  drop constraint usage_events_reservation_id_fkey;

-- What a machine reports of its consumption counts once, however often it is sent.
alter table usage_events add column report_key text;
create unique index usage_events_by_report on usage_events (report_key) where report_key is not null;

-- Carries out what the writer has decided, all of it or, when anything is not as the writer knows it, nothing (AV001: read again, decide again).
-- Locks the budgets in the order given (narrowest first, as everyone does), then touches only rows of its own. Its plans are made once for each
-- connection, perhaps while the tables are still empty: they must look rows up by their keys all the same. What a batch has none of is null: even a statement
-- without rows costs the start of its plan, and one on events would wake everybody who listens.
create function commit_ledger_batch(decided_at timestamptz, balances json, holds json, ends json, entries json, usage json, told json)
returns void language plpgsql
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set plan_cache_mode = force_generic_plan
as $$
declare
  touched integer;
  ending record;
begin
  if balances is not null then
    perform 1 from json_to_recordset(balances) as m (n integer, id text) join budgets b on b.id = m.id order by m.n for no key update of b;
    update budgets b
    set reserved = b.reserved + m.reserved, settled = b.settled + m.settled,
      frozen_at = case when m.freezes then decided_at else b.frozen_at end,
      period_ends_at = coalesce(m.rolls_to, b.period_ends_at),
      version = b.version + case when m.freezes then 1 else 0 end
    from json_to_recordset(balances) as m (id text, version bigint, reserved bigint, settled bigint, freezes boolean, holds boolean,
      rolls_from timestamptz, rolls_to timestamptz, settled_before bigint)
    where b.id = m.id and b.version = m.version
      -- A period ends once, and takes away exactly what was settled in it.
      and (m.rolls_from is null or (b.period_ends_at = m.rolls_from and b.settled = m.settled_before))
      -- The invariant once more, on the rows themselves: what adds a hold must leave settled + reserved within the limit.
      and (not m.holds or (b.closed_at is null and b.frozen_at is null and b.settled + m.settled + b.reserved + m.reserved <= b."limit"));
    get diagnostics touched = row_count;
    if touched <> json_array_length(balances) then raise exception 'a budget has changed' using errcode = 'AV001'; end if;
  end if;

  if holds is not null then
    insert into reservations
      (id, budget_id, budget_ids, idempotency_key, holder, amount, state, lease_expires_at, created_at, project_id, machine_id, run_id)
    select h.id, h.budget_ids[1], h.budget_ids, h.key, h.holder, h.amount, 'open', h.lease_expires_at, decided_at,
      h.project_id, h.machine_id, h.run_id
    from json_to_recordset(holds)
      as h (id text, budget_ids text[], key text, holder text, amount bigint, lease_expires_at timestamptz, project_id text, machine_id text, run_id text);
  end if;

  if ends is not null then
    -- One by one, each by its key: as a join, the plan may walk through all that are open.
    for ending in select e.id, e.state, e.settled_amount, e.lease_before
      from json_to_recordset(ends) as e (id text, state text, settled_amount bigint, lease_before timestamptz)
    loop
      update reservations r set state = ending.state, settled_amount = ending.settled_amount, ended_at = decided_at
      where r.id = ending.id and r.ended_at is null and (ending.lease_before is null or r.lease_expires_at <= ending.lease_before);
      if not found then raise exception 'a reservation has ended' using errcode = 'AV001'; end if;
    end loop;
  end if;

  if entries is not null then
    insert into ledger_entries (budget_id, reservation_id, usage_event_id, kind, reserved_delta, settled_delta, at)
    select e.budget_id, e.reservation_id, e.usage_event_id, e.kind, e.reserved_delta, e.settled_delta, decided_at
    from json_to_recordset(entries)
      as e (n integer, budget_id text, reservation_id text, usage_event_id text, kind text, reserved_delta bigint, settled_delta bigint)
    order by e.n;
  end if;

  if usage is not null then
    insert into usage_events (id, project_id, machine_id, run_id, resource, amount, quality, provider, model, message_id, tokens, cost, price_version,
      reservation_id, first_byte_ms, total_ms, detail, at)
    select u.id, u.project_id, u.machine_id, u.run_id, u.resource, u.amount, u.quality, u.provider, u.model, u.message_id, u.tokens, u.cost, u.price_version,
      u.reservation_id, u.first_byte_ms, u.total_ms, u.detail, decided_at
    from json_to_recordset(usage)
      as u (id text, project_id text, machine_id text, run_id text, resource text, amount bigint, quality text, provider text, model text, message_id text,
        tokens jsonb, cost bigint, price_version text, reservation_id text, first_byte_ms integer, total_ms integer, detail jsonb);
  end if;

  if told is not null then
    -- Each recorded consumption is told in the same transaction; the members are those of the row.
    insert into events (id, type, at, project_id, machine_id, run_id, data)
    select e.id, e.type, decided_at, e.project_id, e.machine_id, e.run_id, e.data
    from json_to_recordset(told) as e (n integer, id text, type text, project_id text, machine_id text, run_id text, data jsonb)
    order by e.n;
  end if;
end $$;

-- The gateway remembers who calls on whose money and where to, until it hears here that something about it has changed: the machine in the column
-- that the trigger names, or any of them.
create function notify_callers() returns trigger language plpgsql as $$
begin
  perform pg_notify('autovibe_callers', coalesce(to_jsonb(new) ->> tg_argv[0], ''));
  return null;
end $$;
create trigger callers_notify after update of token_hash, state, destroyed_at on machines for each row execute function notify_callers('id');
create trigger callers_notify after insert or update of state, ended_at, budget_id, provider on runs for each row execute function notify_callers('machine_id');
create trigger callers_notify after insert or update on providers for each row execute function notify_callers();
create trigger callers_notify after insert or update of closed_at on budgets for each row when (new.resource <> 'money') execute function notify_callers();
