/** What hosts do to a Hub and its commands: ports, versions, two at once, a missing bubblewrap, a full disk, Ctrl-C, sudden death. */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { EXIT, Finding, Problem, Run, SubstrateTier } from '@autovibe/contract'
import { type ScriptedModel, startScriptedModel } from '@autovibe/scripted-model'
import { z } from 'zod'
import { makePlace, type Place, recordsOf, until } from './support/command.ts'
import { demoRepository, type Repository } from './support/demo-project.ts'
import { makeNamespace, namespaceRefused } from './support/namespace.ts'
import { setProvider } from './support/scripted.ts'
import { fingerprint } from './support/untouched.ts'

const SCRIPT = fileURLToPath(new URL('../packages/scripted-model/scripts/demo.yaml', import.meta.url))
const PROMPT = 'Make the failing test pass'
const Up = z.object({ url: z.url(), pid: z.int(), already: z.boolean(), tier: SubstrateTier })

let place: Place
let model: ScriptedModel
let repository: Repository
/** Every model call waits for it. */
let gate: Promise<void> = Promise.resolve()

before(async () => {
  place = await makePlace()
  model = await startScriptedModel({ script: SCRIPT, onCall: () => gate })
  repository = await demoRepository()
})
after(async () => {
  await place.remove()
  await model.close()
  await repository.remove()
})

test('a port in use is refused before a database or machine is made', async () => {
  const server = createServer()
  const port = await new Promise<number>((resolve) => server.listen(0, '127.0.0.1', () => resolve((server.address() as { port: number }).port)))
  try {
    const refused = await place.refusal(['up', '--port', String(port)])
    assert.deepEqual([refused.code, refused.exit], ['hub.port_in_use', EXIT.conflict])
    assert.match(`${refused.detail} ${refused.fix}`, new RegExp(`${port}.*--port`))
    assert.deepEqual([existsSync(join(place.dataDir, 'hub.json')), existsSync(join(place.dataDir, 'postgres'))], [false, false])
    assert.deepEqual([...(await place.processes())], [])
  } finally {
    await new Promise((resolve) => server.close(resolve))
  }
})

test('of two ups at once both are answered by the one Hub that there is', async () => {
  const [one, other] = await Promise.all([place.json(Up, ['up']), place.json(Up, ['up'])])
  assert.deepEqual([one.pid, one.url], [other.pid, other.url])
  const hubs = [...(await place.processes())].filter(([, command]) => command.includes('hub/main.ts'))
  assert.deepEqual(
    hubs.map(([pid]) => pid),
    [one.pid],
  )
  assert.equal((await place.json(Up, ['up'])).already, true)

  const second = await place.run(['up', '--foreground'])
  assert.equal(second.code, EXIT.conflict)
  const problem = Problem.parse(JSON.parse(second.stderr.trim().split('\n').at(-1) ?? ''))
  assert.deepEqual([problem.code, typeof problem.fix], ['hub.already_running', 'string'])
  assert.equal((await place.json(Up, ['up'])).pid, one.pid, 'the first Hub goes on')
})

test('Ctrl-C detaches with 130 and says how to come back, and the run goes on to its end', async () => {
  await setProvider(place, model.url)
  const hold = Promise.withResolvers<void>()
  gate = hold.promise
  const calls = model.calls().length
  const following = place.start(['run', PROMPT, '--project', repository.path, '--provider', 'scripted', '--budget', '5', '--check', 'npm test', '--json'])
  const created = await following.record('created')
  await until('the first model call', () => model.calls().length > calls)
  const { code, stdout, stderr } = await following.signal('SIGINT')
  assert.deepEqual([code, stderr], [EXIT.interrupted, ''])
  const last = recordsOf(stdout).at(-1)
  const { id, machine_name } = Run.parse(created['run'])
  assert.deepEqual([last?.['type'], last?.['run_id']], ['detached', id])
  assert.ok(JSON.stringify(last?.['next']).includes(`autovibe attach ${machine_name}`))
  assert.equal((await (await place.client()).runs.get(id)).state, 'running')

  hold.resolve()
  const attached = await place.run(['attach', machine_name, '--json'])
  assert.equal(attached.code, 0, attached.stderr)
  const run = Run.parse(recordsOf(attached.stdout).at(-1)?.['run'])
  assert.deepEqual([run.id, run.state, run.check_result?.exit_code], [id, 'succeeded', 0])
})

test('a command that follows a run outlives the death of the Hub, and ends with 0 once it is back', async () => {
  const hold = Promise.withResolvers<void>()
  gate = hold.promise
  const calls = model.calls().length
  const following = place.start(['run', PROMPT, '--project', repository.path, '--provider', 'scripted', '--budget', '5', '--check', 'npm test', '--json'])
  await following.record('created')
  await until('the first model call', () => model.calls().length > calls)
  const { pid } = JSON.parse(await readFile(join(place.dataDir, 'hub.json'), 'utf8')) as { pid: number }
  process.kill(pid, 'SIGKILL')
  await following.record('hub_lost')
  const back = await place.json(Up, ['up'])
  assert.notEqual(back.pid, pid)
  hold.resolve()
  const { code, stdout, stderr } = await following.ended
  assert.deepEqual([code, stderr], [0, ''], stdout)
  const records = recordsOf(stdout)
  assert.ok(records.findIndex(({ type }) => type === 'hub_back') > records.findIndex(({ type }) => type === 'hub_lost'))
  const run = Run.parse(records.at(-1)?.['run'])
  assert.deepEqual([run.state, run.check_result?.exit_code], ['succeeded', 0])
  // What the dead Hub had begun to pay for is on the books too, at most at its bound.
  assert.ok(BigInt(run.spent) <= BigInt(run.limit))
  const [budget] = await (await place.client()).budgets.list({ scope: 'run', scope_id: run.id }).take(1)
  assert.deepEqual([budget?.settled, budget?.reserved], [run.spent, '0'])
  const indexes = records.filter(({ type }) => type === 'step_finished').map(({ step }) => (step as { index: number }).index)
  assert.equal(new Set(indexes).size, indexes.length, 'no step is told twice')
})

for (const [what, file, content] of [
  ['whose checkpoint store is of another version', 'store/format', '{"format":"autovibe-checkpoint-store","version":9}\n'],
  ['whose database is of another version', 'postgres/data/PG_VERSION', '14\n'],
] as const) {
  test(`a data directory ${what} is refused and left as it is`, async () => {
    assert.equal((await place.run(['down'])).code, 0)
    const path = join(place.dataDir, file)
    const good = await readFile(path)
    await writeFile(path, content)
    const held = () => Promise.all(['store', 'postgres/data', 'local/layers', 'sources'].map((folder) => fingerprint(join(place.dataDir, folder))))
    const before = await held()
    const refused = await place.refusal(['up'])
    assert.deepEqual([refused.code, refused.exit], ['hub.data_version', EXIT.human])
    const runRefused = await place.refusal(['run', PROMPT, '--project', repository.path, '--provider', 'scripted', '--budget', '1'])
    assert.equal(runRefused.code, 'hub.data_version')
    await until('every process has ended', async () => (await place.processes()).size === 0)
    assert.deepEqual(await held(), before)
    await writeFile(path, good)
    assert.equal((await place.run(['up'])).code, 0)
    assert.equal((await (await place.client()).runs.list().take(10)).length, 2, 'everything is there again')
  })
}

const skip = namespaceRefused()

test('without bubblewrap the weaker tier is named, the demo works, and a real agent is refused until a person accepts the risk', { skip }, async () => {
  const bare = await makePlace()
  // Hidden and not left out of PATH, because the Hub looks into the usual folders by itself.
  const host = await makeNamespace('mount --bind /dev/null "$(command -v bwrap)"')
  const { through } = host
  try {
    const demo = await bare.run(['demo'], { through })
    assert.equal(demo.code, 0, demo.stderr)
    assert.match(demo.stdout, /Isolation +local (I1: partly fenced in|I0: NOT isolated)/)
    assert.match(demo.stdout, /✓ Rolled .*exactly what they were(.|\n)*✓ Forked /)
    const { findings } = await bare.json(z.object({ findings: z.array(Finding) }), ['doctor'], { through, exit: EXIT.failed })
    const isolation = findings.filter(({ name }) => name === 'isolation' || name === 'bubblewrap')
    assert.equal(isolation.length, 3)
    for (const { name, area, status } of isolation) assert.notEqual(status, 'ok', `${area} ${name}`)
    assert.ok(isolation.some(({ fix }) => fix?.includes('bubblewrap')))

    await setProvider(bare, model.url, { name: 'real', simulated: false })
    const real = ['run', PROMPT, '--project', repository.path, '--provider', 'real', '--budget', '1', '--check', 'npm test']
    const refused = await bare.refusal(real, { through })
    assert.deepEqual([refused.code, refused.exit], ['isolation.too_weak', EXIT.human])
    assert.match(refused.fix ?? '', /--allow-unisolated/)
    const client = await bare.client()
    assert.deepEqual([await client.machines.list().take(10), (await client.runs.list().take(10)).length], [[], 1])

    const accepted = await bare.run([...real, '--allow-unisolated', '--json'], { through })
    assert.equal(accepted.code, 0, `${accepted.stdout}${accepted.stderr}`)
    const run = Run.parse(recordsOf(accepted.stdout).at(-1)?.['run'])
    const { tier } = await client.hub.info()
    assert.deepEqual([run.state, (await client.machines.get(run.machine_id)).tier], ['succeeded', tier])
    assert.match(tier.isolation, /^I[01]$/)
  } finally {
    await bare.remove()
    await host.leave()
  }
})

test('a full disk is said to be full, and once there is room everything works', { skip }, async (t) => {
  const small = await makePlace()
  await mkdir(small.dataDir)
  const host = await makeNamespace('mount -t tmpfs -o size=200m,mode=711 none "$1"', small.dataDir)
  const { through } = host
  const fill = () => host.shell('dd if=/dev/zero of="$1/filler" bs=64k; test -e "$1/filler"', small.dataDir)
  const free = () => host.shell('rm "$1/filler"', small.dataDir)
  try {
    await t.test('a Hub on a full disk does not start', async () => {
      fill()
      const refused = await small.refusal(['up'], { through }).finally(free)
      assert.deepEqual([refused.code, refused.exit], ['substrate.disk_full', EXIT.failed])
      assert.deepEqual([...(await small.processes())], [])
    })
    await t.test('a disk that fills up beneath a Hub is named by the next command', async () => {
      assert.equal((await small.run(['up'], { through })).code, 0)
      fill()
      const refused = await small.refusal(['demo'], { through }).finally(free)
      assert.deepEqual([refused.code, refused.exit], ['substrate.disk_full', EXIT.failed], refused.detail)
    })
    await t.test('with room again the whole demo works', async () => {
      const demo = await small.run(['demo', '--json'], { through })
      assert.equal(demo.code, 0, demo.stderr)
      assert.equal((await small.run(['down'], { through })).code, 0)
      assert.deepEqual([...(await small.processes())], [])
    })
  } finally {
    await small.remove()
    await host.leave()
  }
})
