/** What the audit asks of the rows: each check is one query for what does not agree, as `subject` and `message`. */
import type { AuditCheck } from '@autovibe/contract'
import { type RawBuilder, sql } from 'kysely'

/** Every balance from its entries, and what is reserved from the open reservations too. */
const balance = sql`
  with moved as (
    select link, sum(settled_delta) as settled, sum(reserved_delta) as reserved
    from (
      select unnest(coalesce(r.budget_ids, array[e.budget_id])) as link, e.settled_delta, e.reserved_delta
      from ledger_entries e left join reservations r on r.id = e.reservation_id
    ) m group by link
  ), held as (
    select link, sum(amount) as amount
    from (select unnest(budget_ids) as link, amount from reservations where state = 'open') h group by link
  )
  select b.id as subject, format('Settled is %s, and its entries add up to %s; reserved is %s, its entries add up to %s, and what is open to %s.',
    b.settled, coalesce(m.settled, 0), b.reserved, coalesce(m.reserved, 0), coalesce(h.amount, 0)) as message
  from budgets b left join moved m on m.link = b.id left join held h on h.link = b.id
  where b.settled <> coalesce(m.settled, 0) or b.reserved <> coalesce(m.reserved, 0) or b.reserved <> coalesce(h.amount, 0)`

/** A reservation and its entries tell the same story: opened at most once, ended once, by the amount that stands on it. */
const reservation = sql`
  with moved as (
    select reservation_id, sum(reserved_delta) as reserved, sum(settled_delta) as settled, count(*) filter (where kind = 'reserve') as reserves,
      count(*) filter (where kind = 'settle') as settles, count(*) filter (where kind = 'release') as releases
    from ledger_entries where reservation_id is not null group by reservation_id
  )
  select r.id as subject, format('It is %s, of %s, settled at %s; its entries hold %s and settle %s, in %s reserve, %s settle and %s release.',
    r.state, r.amount, coalesce(r.settled_amount::text, 'nothing'), coalesce(m.reserved, 0), coalesce(m.settled, 0),
    coalesce(m.reserves, 0), coalesce(m.settles, 0), coalesce(m.releases, 0)) as message
  from reservations r left join moved m on m.reservation_id = r.id
  where (r.state = 'open') is distinct from (r.ended_at is null)
    or (r.state = 'settled') is distinct from (r.settled_amount is not null)
    or r.budget_ids[1] is distinct from r.budget_id
    or coalesce(m.reserved, 0) <> case when r.state = 'open' then r.amount else 0 end
    or coalesce(m.settled, 0) <> coalesce(r.settled_amount, 0)
    or coalesce(m.reserves, 0) > 1
    or coalesce(m.settles, 0) <> (r.state = 'settled')::integer
    or coalesce(m.releases, 0) <> (r.state = 'released')::integer`

/** Each settlement of somebody's work has the usage event that it names, of the same amount; and no usage event stands for a settlement that is not there. */
const usage = sql`
  select coalesce(e.reservation_id, e.budget_id) as subject, case
    when e.usage_event_id is null then format('It was settled at %s, and no usage event stands for that.', e.settled_delta)
    when u.id is null then format('It was settled at %s by the usage event %s, which does not exist.', e.settled_delta, e.usage_event_id)
    else format('It was settled at %s of %s, and its usage event %s says %s of %s, cost %s, for %s.', e.settled_delta, b.resource, u.id, u.amount, u.resource,
      u.cost, coalesce(u.reservation_id, 'no reservation')) end as message
  from ledger_entries e
    left join usage_events u on u.id = e.usage_event_id left join reservations r on r.id = e.reservation_id left join budgets b on b.id = e.budget_id
  where e.kind = 'settle' and case when e.usage_event_id is null then r.project_id is not null
    else u.id is null or u.amount <> e.settled_delta or u.reservation_id is distinct from e.reservation_id or u.resource <> b.resource
      or (u.resource = 'money' and u.cost <> u.amount) end
  union all
  select u.id, format('It stands for the reservation %s, which was not settled by it.', u.reservation_id)
  from usage_events u left join ledger_entries e on e.usage_event_id = u.id and e.kind = 'settle'
  where u.reservation_id is not null and e.seq is null`

const lost = (subject: string, table: string, column: string, target: string) => sql`
  select t.${sql.ref(subject)}::text as subject, format(${`The ${column.replace('_', ' ')} %s of this row of ${table} does not exist.`}, t.${sql.ref(column)}) as message
  from ${sql.table(table)} t left join ${sql.table(target)} o on o.id = t.${sql.ref(column)} where t.${sql.ref(column)} is not null and o.id is null`

/** What the foreign keys that the hot tables do without would have kept. */
const reference = sql.join(
  [
    lost('seq', 'ledger_entries', 'budget_id', 'budgets'),
    lost('seq', 'ledger_entries', 'reservation_id', 'reservations'),
    lost('id', 'reservations', 'project_id', 'projects'),
    lost('id', 'reservations', 'machine_id', 'machines'),
    lost('id', 'reservations', 'run_id', 'runs'),
    lost('id', 'usage_events', 'project_id', 'projects'),
    lost('id', 'usage_events', 'machine_id', 'machines'),
    lost('id', 'usage_events', 'run_id', 'runs'),
    lost('id', 'usage_events', 'reservation_id', 'reservations'),
    sql`select r.id, format('It is held on the budget %s, which does not exist.', link)
      from (select id, unnest(budget_ids) as link from reservations) r left join budgets b on b.id = r.link where b.id is null`,
    sql`select e.seq::text, format('This %s moves %s, and its reservation is held on %s first.', e.kind, e.budget_id, coalesce(r.budget_id, 'nothing'))
      from ledger_entries e left join reservations r on r.id = e.reservation_id
      where case when e.kind = 'rollover' then e.reservation_id is not null
        else e.reservation_id is null or (r.id is not null and r.budget_id <> e.budget_id) end`,
    sql`select b.id, format('The %s %s does not exist.', b.scope, b.scope_id)
      from budgets b left join projects p on b.scope = 'project' and p.id = b.scope_id left join machines m on b.scope = 'machine' and m.id = b.scope_id
        left join runs r on b.scope = 'run' and r.id = b.scope_id
      where b.scope <> 'organisation' and p.id is null and m.id is null and r.id is null`,
  ],
  sql` union all `,
)

/** Every chain ends at a root, widens on its way, and is of one resource. */
const chain = sql`
  select b.id as subject, format('A budget of %s for the %s %s hangs beneath one of %s for the %s %s.',
    b.resource, b.scope, b.scope_id, p.resource, p.scope, p.scope_id) as message
  from budgets b join budgets p on p.id = b.parent_id
  where b.resource <> p.resource
    or case when b.scope = p.scope then b.scope_id <> p.scope_id or p.period = 'total'
      else array_position(array['run', 'machine', 'project', 'organisation'], b.scope) > array_position(array['run', 'machine', 'project', 'organisation'], p.scope) end
  union all
  (with recursive rooted as (
    select id from budgets where parent_id is null
    union all
    select b.id from budgets b join rooted on b.parent_id = rooted.id
  )
  select b.id, 'Its chain goes round in a circle.' from budgets b left join rooted on rooted.id = b.id where rooted.id is null)`

export const CHECKS: Readonly<Record<AuditCheck, RawBuilder<unknown>>> = { balance, reservation, usage, reference, chain }
