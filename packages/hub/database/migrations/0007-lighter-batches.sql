-- A batch of the ledger costs less: what is checked, locked and looked up once for each statement was more than half of what a single call waited for.

-- The checks of a table are read anew by each statement that writes to it, those of a domain are kept with the plan; a batch writes to `budgets` each time.
create domain balance as bigint check (value >= 0);
create domain budget_period as text check (value in ('total', 'daily', 'weekly', 'monthly'));
create domain budget_policy as text check (value in ('park', 'finish-step', 'wind-down'));
create domain share_ppm as bigint check (value between 0 and 1000000);
alter table budgets
  drop constraint budgets_limit_check,
  drop constraint budgets_settled_check,
  drop constraint budgets_reserved_check,
  drop constraint budgets_period_check,
  drop constraint budgets_policy_check,
  drop constraint budgets_share_ppm_check,
  alter column "limit" type balance,
  alter column settled type balance,
  alter column reserved type balance,
  alter column period type budget_period,
  alter column policy type budget_policy,
  alter column share_ppm type share_ppm;

-- A run that waits for money goes on when a new period gives it some: few rows, looked for every few seconds.
create index ledger_entries_rollovers on ledger_entries (budget_id, at) where kind = 'rollover';

-- As before (0002), but that the update itself takes the locks. Its plan can only be a loop over the balances in the order in which they are given, narrowest
-- first, with each budget found by its key; were it ever another, a deadlock would be decided again like any lost race.
create or replace function commit_ledger_batch(decided_at timestamptz, balances json, holds json, ends json, entries json, usage json, told json)
returns void language plpgsql
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set plan_cache_mode = force_generic_plan
as $$
declare
  touched integer;
  ids text[];
begin
  if balances is not null then
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
    -- The keys stand beside the join, whose plan would otherwise walk through all reservations; a table that is still empty looks cheap to walk through.
    ids := array(select json_array_elements(ends) ->> 'id');
    update reservations r set state = e.state, settled_amount = e.settled_amount, ended_at = decided_at
    from json_to_recordset(ends) as e (id text, state text, settled_amount bigint, lease_before timestamptz)
    where r.id = any (ids) and r.id = e.id and r.ended_at is null and (e.lease_before is null or r.lease_expires_at <= e.lease_before);
    get diagnostics touched = row_count;
    if touched <> json_array_length(ends) then raise exception 'a reservation has ended' using errcode = 'AV001'; end if;
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
