/** The real Claude Code, without a network: it edits a real repository, and its own sum of money is our ledger's. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { homedir } from 'node:os'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Checkpoint, CheckpointDiff, InstalledAgent, Run, Step } from '@autovibe/contract'
import { type ScriptedModel, startScriptedModel } from '@autovibe/scripted-model'
import { z } from 'zod'
import { makePlace, type Place, recordsOf } from './support/command.ts'
import { demoRepository, type Repository } from './support/demo-project.ts'
import { setProvider } from './support/scripted.ts'
import { fingerprint } from './support/untouched.ts'

const SCRIPT = fileURLToPath(new URL('../packages/scripted-model/scripts/claude-code-edit.yaml', import.meta.url))
const INSTALL_TIMEOUT_MS = 300_000
const Closing = z.object({ type: z.literal('result'), run: Run, steps: z.array(Step), checkpoints: z.array(Checkpoint) })

let place: Place
let model: ScriptedModel
let repository: Repository

before(async () => {
  place = await makePlace()
  model = await startScriptedModel({ script: SCRIPT })
  repository = await demoRepository()
})
after(async () => {
  await place.remove()
  await model.close()
  await repository.remove()
})

test('Claude Code repairs a repository in a machine, and what it says it cost is what the ledger says, to the nano-dollar', async (t) => {
  const installed = await place.run(['agent', 'install', 'claude-code', '--json'], {
    // The cache and the settings of npm are the user's own; a registry that cannot be reached is asked once.
    env: { HOME: homedir(), npm_config_fetch_retries: '0' },
    timeoutMs: INSTALL_TIMEOUT_MS,
  })
  if (installed.code !== 0) return t.skip(`Claude Code cannot be installed here: ${installed.stderr.trim().slice(0, 500)}`)
  const { agent } = z.object({ agent: InstalledAgent }).parse(JSON.parse(installed.stdout))
  t.diagnostic(`Claude Code ${agent.version}`)
  const listed = await place.json(z.object({ agents: z.array(InstalledAgent) }), ['agent', 'list'])
  assert.deepEqual(
    listed.agents.find(({ name }) => name === 'claude-code'),
    agent,
  )

  assert.equal((await place.run(['up'])).code, 0)
  await setProvider(place, model.url)
  const before = await fingerprint(repository.path)
  const args = ['run', 'Make the failing test pass', '--agent', 'claude-code', '--project', repository.path, '--provider', 'scripted', '--budget', '20']
  const { code, stdout, stderr } = await place.run([...args, '--check', 'npm test', '--json'])
  assert.deepEqual([code, stderr], [0, ''], stdout)
  assert.deepEqual(await fingerprint(repository.path), before)

  const { run, steps, checkpoints } = Closing.parse(recordsOf(stdout).at(-1))
  assert.deepEqual([run.state, run.agent, run.check_result?.exit_code], ['succeeded', 'claude-code', 0])
  const tools = steps.flatMap(({ tools: used }) => used.map(({ name, is_error }) => `${name} ${is_error ? 'failed' : 'worked'}`))
  assert.deepEqual(tools, ['Read worked', 'Edit worked', 'Bash worked'])
  assert.ok(checkpoints.length >= 2)
  assert.deepEqual([...new Set(checkpoints.map(({ state }) => state))], ['verified'])
  const diff = await place.json(CheckpointDiff, ['diff', run.machine_name])
  assert.deepEqual(
    diff.files.map(({ path, status }) => `${path} ${status}`),
    ['src/age.js changed'],
  )

  // The agent rounds a binary fraction of dollars; the ledger adds whole nano-dollars.
  assert.equal(run.agent_reported_cost, run.spent)
  assert.ok(BigInt(run.spent) > 0n)
  assert.equal(steps.reduce((sum, { cost }) => sum + BigInt(cost), 0n).toString(), run.spent)
  const usage = await (await place.client()).usage.list({ run: run.id, resource: 'money' }).take(1000)
  assert.equal(usage.reduce((sum, { cost }) => sum + BigInt(cost), 0n).toString(), run.spent)
  assert.ok(usage.every(({ quality }) => quality === 'measured'))
  assert.deepEqual(
    model.calls().filter(({ outcome }) => outcome !== 'answered'),
    [],
  )

  assert.equal((await place.run(['apply', run.machine_name, '--project', repository.path])).code, 0)
  const { NODE_TEST_CONTEXT: _, ...env } = process.env
  const tests = spawnSync(process.execPath, ['--test'], { cwd: repository.path, env, encoding: 'utf8' })
  assert.equal(tests.status, 0, tests.stdout)
  const forPeople = await place.run(['attach', run.machine_name])
  assert.match(forPeople.stdout, /The agent itself reports \$0\.\d+/)
})
