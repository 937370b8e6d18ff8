/** The Hub's process dies again and again in the middle of its work; what it had begun is finished or unwound by the next. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { Checkpoint } from '@autovibe/contract'
import { type ScriptedModel, startScriptedModel } from '@autovibe/scripted-model'
import { generator } from './support/chance.ts'
import { demoRepository, importProject, type Repository } from './support/demo-project.ts'
import { type HubProcess, startHubProcess } from './support/hub-process.ts'
import { seeds } from './support/seeds.ts'
import { until } from './support/until.ts'

const KILLS = 30
/** Machines that live at the same time; older ones are destroyed, which is killed in the middle too. */
const LIVING_MAX = 4
const REST_TIMEOUT_MS = 180_000
/** How deep into the work of a round the kill may come; a spawn with its run makes about a hundred and fifty events. */
const EVENTS_MAX = 80
/** A round with too little going on is killed all the same. */
const PATIENCE_MS = 3_000
/** Longer than the sweep's pause and its grace together: what it suspects by then, it has acted on. */
const QUIET_MS = 25_000
const SCRIPT = fileURLToPath(new URL('../packages/scripted-model/scripts/demo.yaml', import.meta.url))

let hub: HubProcess
let model: ScriptedModel
let repository: Repository
let projectId: string

before(async () => {
  hub = await startHubProcess()
  model = await startScriptedModel({ script: SCRIPT })
  repository = await demoRepository()
  projectId = await importProject(hub.client, repository, 'greeting-card')
  await hub.client.providers.put('scripted', { base_url: model.url, key: 'test', default_model: 'claude-sonnet-5', simulated: true })
})
after(async () => {
  await hub.remove()
  await model.close()
  await repository.remove()
})

test(`after ${KILLS} kills in the middle of spawns, checkpoints, forks and rollbacks every operation has ended and nothing is left over`, async (t) => {
  // The moments are drawn from a seed, so that a failure can be looked for again.
  const seed = seeds(1).first
  t.diagnostic(`npm run soak -- hub-kills --seeds 1 --from ${seed}`)
  const chance = generator(seed)
  for (let kill = 0; kill < KILLS; kill++) {
    await Promise.allSettled([askForRun(), askForCheckpoint(chance), askForForkOrRollback(chance), destroyOldest()])
    await afterEvents(1 + Math.floor(chance() * EVENTS_MAX))
    await hub.kill()
    await hub.start()
  }
  await untilAtRest()

  const operations = await hub.query<{ kind: string; state: string; why: string | null; count: string }>(
    `select kind, state, error->>'message' as why, count(*) from operations group by 1, 2, 3 order by 1, 2, 3`,
  )
  for (const { kind, state, why, count } of operations) t.diagnostic(`${count} × ${kind} ${state}${why ? `: ${why}` : ''}`)
  assert.deepEqual(await hub.query(`select id, kind, state from operations where ended_at is null or state = 'stuck' or exclusive`), [])
  assert.deepEqual(await hub.query(`select id from reservations where state = 'open'`), [])
  assert.deepEqual(await hub.query(`select id from budgets where reserved <> 0 or settled > "limit"`), [])
  assert.deepEqual(
    await hub.query(
      `select b.id from budgets b join machines m on m.id = b.scope_id where b.scope = 'machine' and (b.closed_at is null) <> (m.state <> 'destroyed')`,
    ),
    [],
  )
  assert.deepEqual(await hub.query(`select id, state from checkpoints where state not in ('verified', 'failed')`), [])

  const living = (await hub.query<{ id: string }>(`select id from machines where state in ('ready', 'running', 'paused')`)).map(({ id }) => id).sort()
  assert.deepEqual([...(await hub.machineProcesses()).keys()].sort(), living)
  assert.ok(operations.some(({ kind, state }) => kind === 'spawn-machine' && state === 'done'))
  assert.ok(operations.some(({ kind, state }) => kind === 'store-checkpoint' && state === 'done'))
})

async function askForRun(): Promise<void> {
  await hub.client.runs.create({ project: projectId, prompt: 'Make the failing test pass', provider: 'scripted', budget: '1000000000', check: 'npm test' })
}

async function askForCheckpoint(chance: () => number): Promise<void> {
  const machines = (await hub.client.machines.list().take(100)).filter(({ state }) => state === 'ready' || state === 'running')
  const machine = machines[Math.floor(chance() * machines.length)]
  if (machine) await hub.client.machines.checkpoint(machine.id, { label: 'by hand' })
}

async function askForForkOrRollback(chance: () => number): Promise<void> {
  const verified = (await hub.client.checkpoints.list().take(200)).filter(({ state }) => state === 'verified')
  const checkpoint: Checkpoint | undefined = verified[Math.floor(chance() * verified.length)]
  if (!checkpoint) return
  if (chance() < 0.5) await hub.client.checkpoints.fork(checkpoint.id, { budget: '100000000' })
  else await hub.client.machines.rollback(checkpoint.machine_id, { checkpoint: checkpoint.id })
}

async function destroyOldest(): Promise<void> {
  const machines = await hub.client.machines.list().take(100)
  for (const machine of machines.slice(LIVING_MAX)) await hub.client.machines.destroy(machine.id)
}

/** Follows the Hub's own events and returns at this one, in the middle of whatever is going on. */
async function afterEvents(count: number): Promise<void> {
  const patience = AbortSignal.timeout(PATIENCE_MS)
  let seen = 0
  try {
    for await (const _ of hub.client.events({ signal: patience })) if (++seen >= count) return
  } catch (error) {
    if (!patience.aborted) throw error
  }
}

/** Nothing is unfinished, no run is open, and the sweep has had its time to put things right. */
async function untilAtRest(): Promise<void> {
  let quietSince = Date.now()
  await until('the Hub comes to rest', REST_TIMEOUT_MS, async () => {
    const [row] = await hub.query<{ busy: string }>(
      `select (select count(*) from operations where ended_at is null and state <> 'stuck') + (select count(*) from runs where ended_at is null)
        + (select count(*) from checkpoints where state in ('pending', 'capturing', 'stored'))
        + (select count(*) from machines where state in ('requested', 'provisioning', 'booting', 'stopping', 'checkpointing')) as busy`,
    )
    if (row?.busy !== '0') quietSince = Date.now()
    return Date.now() - quietSince > QUIET_MS || undefined
  })
}
