/** An engine that can die: it works through a pool of its own, and a crash takes every connection with it, as the kernel would. */
import { type OpenDatabase, openDatabase } from '../../database/database.ts'
import { advance } from '../engine/advance.ts'
import { claimNext, nextDue } from '../engine/claim.ts'
import type { EngineContext } from '../engine/context.ts'
import type { Registry } from '../engine/define.ts'
import { LEASE_MS } from '../engine/limits.ts'
import { silentLog } from '../engine/testing.ts'
import { unpark } from '../engine/wake.ts'
import type { World } from './world.ts'

const REAL_LIMIT_MS = 30_000
/** How long an agent is listened to before the clock is moved, and how far it is moved at most, in ms. */
const LISTEN_MS = 100
const SHIFT_MAX_MS = 1000

let lives = 0

export interface EngineLife {
  /** Works until every operation and every run has ended; a crash in between is survived by the next life. */
  settle(): Promise<void>
  /** Moves the clock, and with it the last word of every machine: their time passes too. */
  shift(ms: number): Promise<void>
  /** Dies here and now; never returns. */
  crash(): Promise<never>
  useRegistry(registry: Registry): void
  close(): Promise<void>
}

export function engineLife(world: World, initial: Registry): EngineLife {
  let registry = initial
  let database = freshPool()
  let died = Promise.withResolvers<'died'>()
  let buried = new AbortController()
  const woken = new Set<string>()
  const unsubscribe = world.wakes.subscribe((subject) => woken.add(subject))

  function freshPool(): OpenDatabase & { name: string } {
    const name = `avlife-${++lives}`
    return { ...openDatabase({ ...world.database.address, application_name: name }, { max: 4, onError: () => undefined }), name }
  }

  const context = (): EngineContext => ({
    db: database.db,
    runtime: world.clock,
    registry,
    ports: world.portsOver(database),
    owner: database.name,
    log: silentLog,
    stopping: buried.signal,
  })

  async function crash(): Promise<never> {
    await world.database.pool.query('select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1 and pid <> pg_backend_pid()', [
      database.name,
    ])
    died.resolve('died')
    return new Promise<never>(() => undefined)
  }

  async function reincarnate(): Promise<void> {
    died = Promise.withResolvers()
    const dead = database
    database = freshPool()
    // The connections are gone already; closing the pool of the dead must not hold the living.
    void dead.pool.end()
    // What it was waiting for ends with it; with its pool closed it can record nothing more.
    buried.abort()
    buried = new AbortController()
    await shift(LEASE_MS + 1)
  }

  async function shift(ms: number): Promise<void> {
    world.clock.shift(ms)
    await world.database.pool.query(`update machines set last_heartbeat_at = last_heartbeat_at + $1 * interval '1 millisecond' where destroyed_at is null`, [
      ms,
    ])
  }

  const anyOpenRun = async () => (await world.database.db.selectFrom('runs').select('id').where('ended_at', 'is', null).executeTakeFirst()) !== undefined

  async function settle(): Promise<void> {
    const deadline = Date.now() + REAL_LIMIT_MS
    while (Date.now() < deadline) {
      if (woken.size > 0) {
        const subjects = [...woken]
        woken.clear()
        await unpark(world.database.pool, world.clock, subjects)
      }
      const engine = context()
      const claimed = await claimNext(engine)
      if (claimed) {
        const outcome = await Promise.race([advance(engine, claimed.claim, claimed.row), died.promise])
        if (outcome === 'died') await reincarnate()
        continue
      }
      const due = await nextDue(engine)
      if (!due) {
        if (!(await anyOpenRun())) return
        await nextWake(world, LISTEN_MS)
        continue
      }
      if (woken.size === 0) await nextWake(world, LISTEN_MS)
      if (woken.size === 0) await shift(Math.min(SHIFT_MAX_MS, Math.max(1, due.getTime() - world.clock.now().getTime())))
    }
    const left = await world.database.db.selectFrom('operations').select(['kind', 'state', 'step_index', 'error']).where('ended_at', 'is', null).execute()
    throw new Error(`operations did not come to rest: ${JSON.stringify(left)}`)
  }

  return {
    settle,
    shift,
    crash,
    useRegistry: (next) => {
      registry = next
    },
    close: async () => {
      unsubscribe()
      await database.close()
    },
  }
}

/** The next wake-up of anything, or the end of the patience. */
function nextWake(world: World, timeoutMs: number): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer)
      unsubscribe()
      resolve()
    }
    const unsubscribe = world.wakes.subscribe(done)
    const timer = setTimeout(done, timeoutMs)
  })
}
