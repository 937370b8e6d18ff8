/** What a rollback cannot undo: model calls that were paid, what was reached outside, and commands of people, in the times that it leaves. */
import type { CheckpointId, MachineId, RollbackEffects } from '@autovibe/contract'
import { ROLLBACK_EFFECTS_NAMED_MAX } from '@autovibe/contract'
import { leftSpans, type Span } from '@autovibe/core/checkpoints/left-spans.ts'
import { encodeId } from '@autovibe/core/ids.ts'
import { sql } from 'kysely'
import type { Database } from '../../database/database.ts'
import type { MachineRow } from '../steps/machine-state.ts'
import { readLine, readRollbacks } from './lines.ts'

/** An id is made at the moment of its row, but not always in the same millisecond. */
const ID_SLACK_MS = 60_000

export interface RollbackLook {
  readonly machine: Pick<MachineRow, 'id' | 'project_id' | 'created_at' | 'parent_checkpoint_id'>
  /** What it stands on, or stood on until this rollback. */
  readonly head: CheckpointId | null
  readonly to: CheckpointId
  /** The rollback itself, when it is in the rows already. */
  readonly except?: string
}

/** As the rows stand. What a call or a tunnel has not settled yet is not in it; when a rollback has halted its machine it is. */
export async function readRollbackEffects(db: Database, { machine, head, to, except }: RollbackLook): Promise<RollbackEffects> {
  const facts = {
    machineId: machine.id,
    madeAtMs: machine.created_at.getTime(),
    madeFrom: machine.parent_checkpoint_id,
    line: head === null ? [] : await readLine(db, head),
    rollbacks: await readRollbacks(db, machine.id, except),
  }
  const spans = leftSpans(facts, await readLine(db, to))
  const sinceMs = Math.min(...spans.map(({ fromMs }) => fromMs))
  const usage = await readUsage(db, machine, spans, sinceMs)
  return {
    machine_id: machine.id,
    checkpoint_id: to,
    since: new Date(sinceMs).toISOString(),
    model_calls: modelCalls(usage.filter(({ destination }) => destination === null)),
    egress: egress(usage, await readTunnels(db, machine.id, spans)),
    commands: await readCommands(db, machine.id, spans),
  }
}

interface Used {
  readonly provider: string | null
  readonly model: string | null
  /** Null for a model call. */
  readonly destination: string | null
  readonly rows: number
  readonly tunnels: number
  readonly estimated: number
  readonly cost: bigint
  readonly amount: bigint
}

/** By the project's index, which is in the order of time. */
async function readUsage(db: Database, { id, project_id }: RollbackLook['machine'], spans: readonly Span[], sinceMs: number): Promise<readonly Used[]> {
  const oldest = encodeId('usageEvent', Math.max(0, sinceMs - ID_SLACK_MS), new Uint8Array(10))
  const { rows } = await sql<Used>`
    select u.provider, u.model, case when u.resource = 'egress_bytes' then coalesce(u.detail->>'destination', '') end as destination,
      count(*)::int as rows, count(distinct coalesce(nullif(split_part(u.report_key, ' ', 2), ''), u.id))::int as tunnels,
      count(*) filter (where u.quality = 'estimated')::int as estimated,
      sum(u.cost)::bigint as cost, sum(u.amount)::bigint as amount
    from usage_events u
    where u.project_id = ${project_id} and u.id >= ${oldest} and u.machine_id = ${id} and u.resource in ('money', 'egress_bytes') and ${within('u.at', spans)}
    group by 1, 2, 3`.execute(db)
  return rows
}

interface Told {
  readonly destination: string
  readonly connections: number
  /** Let through while so many were that they were no longer told of one by one. */
  readonly suppressed: number
}

async function readTunnels(db: Database, machineId: MachineId, spans: readonly Span[]): Promise<readonly Told[]> {
  const { rows } = await sql<Told>`
    select coalesce(e.data->>'destination', '') as destination, count(*)::int as connections, coalesce(sum((e.data->>'suppressed_before')::int), 0)::int as suppressed
    from events e where e.machine_id = ${machineId} and e.type = 'egress.allowed' and ${within('e.at', spans)} group by 1`.execute(db)
  return rows
}

async function readCommands(db: Database, machineId: MachineId, spans: readonly Span[]): Promise<RollbackEffects['commands']> {
  const { rows } = await sql<{ exec_id: `exe_${string}`; actor_name: string; command: string; at: Date; total: number }>`
    select e.data->>'exec_id' as exec_id, e.data->>'actor_name' as actor_name, e.data->>'command' as command, e.at, (count(*) over ())::int as total
    from events e where e.machine_id = ${machineId} and e.type = 'exec.started' and ${within('e.at', spans)}
    order by e.xid desc, e.seq desc limit ${ROLLBACK_EFFECTS_NAMED_MAX}`.execute(db)
  return { total: rows[0]?.total ?? 0, items: rows.map(({ total: _, at, ...item }) => ({ ...item, at: at.toISOString() })) }
}

function within(column: string, spans: readonly Span[]) {
  const from = spans.map(({ fromMs }) => new Date(fromMs).toISOString())
  const until = spans.map(({ untilMs }) => (untilMs === null ? 'infinity' : new Date(untilMs).toISOString()))
  return sql`exists (select 1 from unnest(${from}::timestamptz[], ${until}::timestamptz[]) as span(since, until) where ${sql.ref(column)} between span.since and span.until)`
}

const total = <T>(items: readonly T[], of: (item: T) => bigint): bigint => items.reduce((sum, item) => sum + of(item), 0n)
const most = (one: bigint, other: bigint): number => (one < other ? 1 : one > other ? -1 : 0)

function modelCalls(calls: readonly Used[]): RollbackEffects['model_calls'] {
  return {
    total: Number(total(calls, ({ rows }) => BigInt(rows))),
    cost: total(calls, ({ cost }) => cost).toString(),
    estimated: Number(total(calls, ({ estimated }) => BigInt(estimated))),
    models: calls
      .toSorted((one, other) => most(one.cost, other.cost))
      .slice(0, ROLLBACK_EFFECTS_NAMED_MAX)
      .map(({ provider, model, rows, cost }) => ({ provider, model, calls: rows, cost: cost.toString() })),
  }
}

/** Every tunnel with a byte has a usage event, and every one that was told of an event: neither has all of them. */
function egress(usage: readonly Used[], told: readonly Told[]): RollbackEffects['egress'] {
  const destinations = new Map(told.map(({ destination, connections }) => [destination, { destination, connections, bytes: 0n }]))
  for (const { destination, tunnels, amount } of usage) {
    if (destination === null) continue
    const connections = Math.max(tunnels, destinations.get(destination)?.connections ?? 0)
    destinations.set(destination, { destination, connections, bytes: amount })
  }
  const all = [...destinations.values()]
  const named = Number(total(all, ({ connections }) => BigInt(connections)))
  return {
    connections: Math.max(named, Number(total(told, ({ connections, suppressed }) => BigInt(connections + suppressed)))),
    bytes: total(all, ({ bytes }) => bytes).toString(),
    total: all.length,
    destinations: all
      .toSorted((one, other) => most(one.bytes, other.bytes) || other.connections - one.connections)
      .slice(0, ROLLBACK_EFFECTS_NAMED_MAX)
      .map(({ bytes, ...one }) => ({ ...one, bytes: bytes.toString() })),
  }
}
