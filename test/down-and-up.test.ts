/** `autovibe down` in the middle of the work, and `autovibe up`: what only the Hub's end has stopped goes on by itself, what somebody else has stopped does not. */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Machine, Run } from '@autovibe/contract'
import { type ScriptedModel, startScriptedModel } from '@autovibe/scripted-model'
import { z } from 'zod'
import { makePlace, type Place, recordsOf, until } from './support/command.ts'
import { demoRepository, type Repository } from './support/demo-project.ts'
import { setProvider } from './support/scripted.ts'

const SCRIPT = fileURLToPath(new URL('../packages/scripted-model/scripts/demo.yaml', import.meta.url))
const PROMPT = 'Make the failing test pass'
/** The reply after which the work is half done: the source is repaired, the new test is not written. */
const HALFWAY = 3
const StoppedMachines = z.array(z.object({ name: z.string(), starts_again: z.boolean() }))
const Down = z.object({ stopped: z.literal(true), machines: StoppedMachines })
const Up = z.object({ already: z.boolean(), started_again: z.array(z.string()) })
const Result = z.object({ type: z.literal('result'), run: Run, diff: z.object({ files: z.int() }).nullable() })

let place: Place
let model: ScriptedModel
let repository: Repository
/** While there is one, the model waits with the reply halfway. */
let gate: PromiseWithResolvers<void> | undefined

before(async () => {
  place = await makePlace()
  model = await startScriptedModel({ script: SCRIPT, onCall: ({ reply }) => (reply === HALFWAY ? gate?.promise : undefined) })
  repository = await demoRepository()
  await place.json(Up, ['up'])
  await setProvider(place, model.url)
})
after(async () => {
  openGate()
  await place.remove()
  await model.close()
  await repository.remove()
})

const runArgs = (budget: string) => ['run', PROMPT, '--project', repository.path, '--provider', 'scripted', '--budget', budget, '--check', 'npm test', '--json']
const stateOf = async (name: string): Promise<string> => (await (await place.client()).machines.get(name)).state

/** A run that waits halfway for the model; `attached` is the command that follows it. */
async function runHalfway() {
  gate = Promise.withResolvers<void>()
  const calls = model.calls().length
  const attached = place.start(runArgs('2.00'))
  const { run } = z.object({ run: Run }).parse(await attached.record('created'))
  await until('the model is asked halfway', () =>
    model
      .calls()
      .slice(calls)
      .some(({ reply }) => reply === HALFWAY),
  )
  return { attached, id: run.id, name: run.machine_name }
}

/** The model answers again: the call that it held, which nobody waits for any more, and all that follow. */
function openGate(): void {
  gate?.resolve()
  gate = undefined
}

/** The Hub that ends has written down what it has stopped. */
const machinesStopped = () => until('the machines have stopped', () => existsSync(join(place.dataDir, 'stopped.json')))

/** Ends the Hub; the model stays silent until the machines have stopped, so that none comes any further. */
async function down(...flags: string[]): Promise<string> {
  const command = place.start(['down', ...flags])
  await machinesStopped()
  openGate()
  const { code, stdout, stderr } = await command.ended
  assert.deepEqual([code, stderr], [0, ''])
  return stdout
}

test('a run in the middle of its work goes on by itself after down and up, and whoever follows it sees its end', async () => {
  const { attached, name } = await runHalfway()
  assert.match(await down(), new RegExp(`^✓ The Hub has stopped, and with it 1 machine \\(${name}\\)\\.\\n +autovibe up takes it up again\\.$`, 'm'))
  assert.deepEqual([...(await place.processes())], [])

  const answer = await place.json(Up, ['up'])
  assert.deepEqual(answer, { already: false, started_again: [name] })
  const { code, stdout, stderr } = await attached.ended
  assert.deepEqual([code, stderr], [0, ''], stdout)
  const { run, diff } = Result.parse(recordsOf(stdout).at(-1))
  assert.deepEqual([run.state, run.check_result?.exit_code, run.machine_name, diff?.files], ['succeeded', 0, name, 2])
  const states = recordsOf(stdout).flatMap((record) => (record['type'] === 'run_state' ? [record['state']] : []))
  assert.equal(states.includes('paused'), false, 'whoever follows it is not let go')
  assert.equal(await stateOf(name), 'ready')
  assert.deepEqual((await place.json(Up, ['up'])).started_again, [], 'told once')
})

test('up tells people what it takes up again, and a machine that a person has stopped stays stopped', async () => {
  const [idle] = (await place.json(z.object({ machines: z.array(Machine) }), ['ps'])).machines
  assert.equal((await place.run(['machine', 'stop', idle?.name ?? ''])).code, 0)
  const { attached, id, name } = await runHalfway()
  assert.equal((await place.run(['machine', 'stop', name])).code, 0)
  // It pauses, and so whoever follows it is let go.
  assert.equal((await attached.ended).code, 8)
  openGate()
  const other = await runHalfway()
  const { machines } = Down.parse(JSON.parse(await down('--json')))
  assert.deepEqual(machines, [{ name: other.name, starts_again: true }])

  const told = await place.run(['up'])
  assert.equal(told.code, 0, told.stderr)
  assert.match(told.stdout, new RegExp(`^It takes up again what the last \`autovibe down\` stopped: 1 machine \\(${other.name}\\)\\.$`, 'm'))
  assert.equal((await other.attached.ended).code, 0)
  assert.deepEqual([await stateOf(idle?.name ?? ''), await stateOf(name)], ['stopped', 'stopped'])

  assert.equal((await place.run(['machine', 'start', name])).code, 0)
  const { code, stdout } = await place.run(['attach', id, '--json'])
  assert.equal(code, 0, stdout)
  assert.equal(Result.parse(recordsOf(stdout).at(-1)).run.state, 'succeeded')
})

test('a Hub that is killed while it ends leaves its machines to be taken up all the same', async () => {
  const { attached, name } = await runHalfway()
  const { pid } = z.object({ pid: z.int() }).parse(JSON.parse(await readFile(join(place.dataDir, 'hub.json'), 'utf8')))
  process.kill(pid, 'SIGTERM')
  await machinesStopped()
  // It waits for the model's answer now, which must not be lost.
  process.kill(pid, 'SIGKILL')
  await until('the Hub is dead', async () => !(await place.processes()).has(pid))
  openGate()
  assert.ok((await place.json(Up, ['up'])).started_again.includes(name))
  const { code, stdout } = await attached.ended
  assert.equal(code, 0, stdout)
})

test('a run that waits for money waits on over down and up, until its budget is raised', async () => {
  const { code, stdout } = await place.run(runArgs('0.008'))
  assert.equal(code, 7, stdout)
  const { run } = Result.parse(recordsOf(stdout).at(-1))
  const { machines } = Down.parse(JSON.parse(await down('--json')))
  assert.deepEqual(
    machines.filter(({ starts_again }) => !starts_again).map(({ name }) => name),
    [run.machine_name],
  )
  const { started_again } = await place.json(Up, ['up'])
  assert.equal(started_again.includes(run.machine_name), false)
  const client = await place.client()
  const waiting = await client.runs.get(run.id)
  assert.deepEqual([waiting.state, waiting.state_reason, await stateOf(run.machine_name)], ['paused', run.state_reason, 'stopped'])

  assert.equal((await place.run(['budget', 'set', run.id, '2.00'])).code, 0)
  assert.equal((await client.runs.wait(run.id, 'ended')).state, 'succeeded')
})
