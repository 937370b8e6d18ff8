/** What people get wrong, while a Hub runs: one clear error with a way out, and nothing is made of it. */
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { EXIT, Problem, Run } from '@autovibe/contract'
import { type ScriptedModel, startScriptedModel } from '@autovibe/scripted-model'
import { z } from 'zod'
import { type CallOptions, makePlace, type Place, recordsOf } from './support/command.ts'
import { demoRepository, type Repository } from './support/demo-project.ts'
import { setProvider } from './support/scripted.ts'
import { fingerprint } from './support/untouched.ts'

const MODEL_MAIN = fileURLToPath(new URL('../packages/scripted-model/main.ts', import.meta.url))
const SCRIPT = fileURLToPath(new URL('../packages/scripted-model/scripts/demo.yaml', import.meta.url))

let place: Place
let model: ScriptedModel
let strict: ScriptedModel
let repository: Repository

before(async () => {
  place = await makePlace()
  model = await startScriptedModel({ script: SCRIPT })
  const text = await readFile(SCRIPT, 'utf8')
  strict = await startScriptedModel({ script: { name: 'strict.yaml', text: `api_key: right\n${text}` } })
  repository = await demoRepository()
  await mkdir(join(place.folder, 'folder'))
  execFileSync('git', ['init', '-q', join(place.folder, 'empty')])
  assert.equal((await place.run(['up'])).code, 0)
  await setProvider(place, model.url)
  await setProvider(place, strict.url, { name: 'strict', key: 'wrong' })
})
after(async () => {
  await place.remove()
  await model.close()
  await strict.close()
  await repository.remove()
})

interface Case {
  readonly what: string
  /** After `run "do it" --provider scripted`; a place of its own wins over the good repository. */
  readonly args: readonly string[]
  readonly code: string
  readonly exit: number
  /** Found in what is said or in the fix. */
  readonly says: RegExp
}

const CASES: readonly Case[] = [
  { what: 'a PATH that is not there', args: ['--budget', '1', '--project', 'missing'], code: 'project.source_invalid', exit: 2, says: /missing/ },
  {
    what: 'a PATH that is no git repository',
    args: ['--budget', '1', '--project', 'folder'],
    code: 'project.source_invalid',
    exit: 2,
    says: /git -C \S+ init/,
  },
  { what: 'an empty repository', args: ['--budget', '1', '--project', 'empty'], code: 'project.source_invalid', exit: 2, says: /git -C \S+ commit/ },
  { what: 'no budget at all', args: [], code: 'request.invalid', exit: 2, says: /--budget/ },
  { what: 'a budget of 0', args: ['--budget', '0'], code: 'request.invalid', exit: 2, says: /--budget/ },
  { what: 'a budget of "abc"', args: ['--budget', 'abc'], code: 'request.invalid', exit: 2, says: /abc/ },
  { what: 'a budget below zero', args: ['--budget=-1'], code: 'request.invalid', exit: 2, says: /-1/ },
  { what: 'a budget finer than a nano-dollar', args: ['--budget', '0.0000000001'], code: 'request.invalid', exit: 2, says: /budget/ },
  { what: 'an unknown agent', args: ['--budget', '1', '--agent', 'claude'], code: 'agent.unknown', exit: 2, says: /claude-code/ },
  {
    what: 'an agent that is not installed',
    args: ['--budget', '1', '--agent', 'claude-code'],
    code: 'agent.not_installed',
    exit: 2,
    says: /autovibe agent install claude-code/,
  },
  { what: 'an unknown provider', args: ['--budget', '1', '--provider', 'openia'], code: 'provider.unknown', exit: 2, says: /autovibe provider/ },
  { what: 'a provider without a key', args: ['--budget', '1', '--provider', 'anthropic'], code: 'provider.key_missing', exit: 2, says: /ANTHROPIC_API_KEY/ },
  { what: 'a machine that does not exist', args: ['--budget', '1', '--machine', 'nobody'], code: 'not_found', exit: 5, says: /autovibe ps/ },
]

for (const { what, args, code, exit, says } of CASES) {
  test(`${what} is refused with ${code}, and no project, run or machine is made`, async () => {
    const own = args.includes('--project') || args.includes('--machine') ? [] : ['--project', repository.path]
    const provider = args.includes('--provider') ? [] : ['--provider', 'scripted']
    const refused = await refusal(['run', 'do it', ...own, ...provider, ...args])
    assert.deepEqual([refused.code, refused.exit], [code, exit], refused.detail)
    assert.match(`${refused.detail} ${refused.fix}`, says)
  })
}

test('an empty prompt and an impossible name are refused, and nothing is made', async () => {
  const good = ['--project', repository.path, '--budget', '1', '--provider', 'scripted']
  assert.equal((await refusal(['run', ' ', ...good])).code, 'request.invalid')
  assert.equal((await refusal(['run', '-', ...good], { input: '\n' })).code, 'request.invalid')
  assert.equal((await refusal(['run', 'do it', ...good, '--name', 'No Name'])).code, 'request.invalid')
})

test('a model without a known price is refused with model.unpriced, and no run or machine is made', async () => {
  const { machines, runs, budgets } = await everything()
  const { code, stderr } = await place.run([
    'run',
    'do it',
    '--project',
    repository.path,
    '--budget',
    '1',
    '--provider',
    'scripted',
    '--model',
    'gpt-17',
    '--json',
  ])
  const after = await everything()
  for (const { id } of after.machines) await place.run(['machine', 'destroy', id])
  assert.equal(code, EXIT.usage, stderr)
  const problem = Problem.parse(JSON.parse(stderr))
  assert.equal(problem.code, 'model.unpriced')
  assert.ok(problem.fix)
  assert.deepEqual([after.machines, after.runs, after.budgets], [machines, runs, budgets])
})

test('a key that the provider refuses ends the run with that reason, nothing spent and the repository untouched', async () => {
  const before = await fingerprint(repository.path)
  const args = ['run', 'Make the failing test pass', '--project', repository.path, '--budget', '1', '--provider', 'strict', '--json']
  const { code, stdout, stderr } = await place.run(args)
  const last = recordsOf(stdout).at(-1)
  assert.equal(last?.['type'], 'result', `${stdout}\n${stderr}`)
  const run = Run.parse(last?.['run'])
  // The step that had begun counts, though it cost nothing.
  assert.deepEqual([run.state, run.spent, run.steps], ['failed', '0', 1])
  assert.match(run.state_reason ?? '', /key/i)
  const Refusal = z.object({ code: z.literal('provider.key_refused'), message: z.string(), fix: z.string() })
  const { fix } = Refusal.parse(last?.['refusal'])
  assert.match(fix, /autovibe provider set strict/)
  assert.equal(code, EXIT.auth)
  assert.ok(strict.calls().length <= 4, `${strict.calls().length} calls: a refused key is not asked again and again`)
  assert.deepEqual(await fingerprint(repository.path), before)
  const forPeople = await place.run(['attach', run.machine_name])
  assert.equal(forPeople.code, EXIT.auth)
  assert.match(forPeople.stdout, /run failed: .*key/i)
  assert.ok(forPeople.stderr.includes(fix), forPeople.stderr)
  assert.equal((await place.run(['machine', 'destroy', run.machine_name])).code, 0)
})

test('a script file with a mistake is told by file, line and what is expected', async () => {
  const path = join(place.folder, 'broken.yaml')
  await writeFile(path, 'conversations:\n  - match: hello\n    replies:\n      - txt: hi\n')
  const { status, stdout, stderr } = spawnSync(process.execPath, [MODEL_MAIN, path], { encoding: 'utf8' })
  assert.deepEqual([status, stdout], [2, ''])
  assert.ok(stderr.startsWith(`${path}:4:9: conversations[0].replies[0]: expected one of `), stderr)
})

/** The one error of a command that leaves everything in the Hub as it was. */
async function refusal(args: readonly string[], options?: CallOptions) {
  const before = await everything()
  const refused = await place.refusal(args, options)
  assert.deepEqual(await everything(), before)
  return refused
}

async function everything() {
  const client = await place.client()
  const [projects, machines, runs, operations, budgets, providers] = await Promise.all([
    client.projects.list().take(100),
    client.machines.list({ all: true }).take(100),
    client.runs.list().take(100),
    client.operations.list().take(100),
    client.budgets.list().take(100),
    client.providers.list().take(100),
  ])
  return { projects, machines, runs, operations, budgets, providers, processes: [...(await place.processes()).keys()] }
}
