/** What the command tells people to type next, and what it makes of what they type: names of machines that are gone, beginnings of ids, wrong values. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Budget, Checkpoint, Machine, Operation } from '@autovibe/contract'
import type { ScriptedModel } from '@autovibe/scripted-model'
import { z } from 'zod'
import type { Place, Result } from './support/command.ts'
import type { Repository } from './support/demo-project.ts'
import { openScriptedPlace, type ScriptedPlace } from './support/scripted-place.ts'

const SCRIPT = fileURLToPath(new URL('../packages/scripted-model/scripts/demo.yaml', import.meta.url))
const Checkpoints = z.object({ checkpoints: z.array(Checkpoint) })
const Forked = z.object({ machine: Machine, budget: Budget, operation_id: Operation.shape.id })

let scripted: ScriptedPlace
let place: Place
let model: ScriptedModel
let repository: Repository
let name: string
let checkpoints: Checkpoint[]
let last: Checkpoint

before(async () => {
  scripted = await openScriptedPlace(SCRIPT)
  ;({ place, model, repository } = scripted)
})
after(() => scripted.close())

test('empty lists name the command that fills them, as it was called', async () => {
  for (const list of ['ps', 'checkpoint list', 'budget show']) {
    assert.match((await place.run(list.split(' '))).stdout, /^ {2}autovibe \w+ /m, list)
    assert.match((await place.run(list.split(' '), { env: { _: './autovibe' } })).stdout, /^ {2}\.\/autovibe \w+ /m, list)
  }
})

test('a run tells its spawn in one line and ends with commands that can be pasted', async () => {
  const run = await place.run(['run', 'Make the failing test pass', '--project', repository.path, '--provider', 'scripted', '--budget', '2'])
  assert.equal(run.code, 0, run.stderr)
  assert.match(run.stdout, /^✓ spawn-machine [\d.]+ m?s: reserve, place, create, boot, start, registered, run$/m)
  assert.equal(run.stdout.match(/spawn-machine/g)?.length, 1)
  checkpoints = (await place.json(Checkpoints, ['checkpoint', 'list'])).checkpoints
  last = checkpoints[0] as Checkpoint
  name = last.machine_name
  assert.deepEqual(nextOf(run), [`autovibe diff ${name}`, `autovibe apply ${name} --project ${repository.path}`, `autovibe fork ${last.id}`])
})

test('every command that is told to be next does its work as it stands', async () => {
  const forked = await pasted(await place.run(['fork', last.id, '--name', 'second']))
  assert.deepEqual(forked, [`autovibe run "PROMPT" --machine second --budget 1.00`, 'autovibe diff second'])
  const shown = await pasted(await place.run(['checkpoint', 'show', last.id]))
  assert.deepEqual(shown, [`autovibe diff ${last.id}`, `autovibe fork ${last.id}`, `autovibe rollback ${name} ${last.id}`])
  const back = await pasted(await place.run(['rollback', 'second', last.id]))
  assert.match(back[2] ?? '', /^autovibe rollback second ckp_/, 'a rollback can be undone')
  assert.deepEqual(await pasted(await place.run(['machine', 'stop', 'second'])), ['autovibe machine start second'])
  assert.match((await pasted(await place.run(['machine', 'destroy', 'second'])))[0] ?? '', /^autovibe checkpoint list mch_/)
})

test('a beginning of an id does wherever the id does, as long as only one thing has it', async () => {
  const short = shortest(
    last.id,
    checkpoints.map(({ id }) => id),
  )
  const { checkpoint } = await place.json(z.object({ checkpoint: Checkpoint }), ['checkpoint', 'show', short])
  assert.equal(checkpoint.id, last.id)
  const runId = last.run_id as string
  for (const args of [
    ['diff', short, short],
    ['attach', runId.slice(0, -1)],
    ['logs', runId.slice(0, -1)],
    ['checkpoint', 'list', last.machine_id.slice(0, -1)],
    ['budget', 'show', runId.slice(0, -1)],
    ['rollback', name, short],
    ['run', 'look', '--project', repository.path, '--provider', 'scripted', '--budget', '1', '--from', short],
  ]) {
    const { code, stderr } = await place.run(args)
    assert.equal(code, 0, `${args.join(' ')}: ${stderr}`)
  }
  const { operations } = await place.json(z.object({ operations: z.array(Operation) }), ['operation', 'list'])
  const id = operations[0]?.id ?? ''
  assert.equal((await place.run(['operation', 'show', id.slice(0, -1)])).code, 0)
})

test('logs can be cut to their last lines', async () => {
  const all = (await place.run(['logs', name])).stdout.split('\n')
  assert.deepEqual((await place.run(['logs', name, '--tail', '2'])).stdout.split('\n'), all.slice(-3))
  assert.equal((await place.refusal(['logs', name, '--tail', 'none'])).fix, 'autovibe logs --tail 200')
})

test('a beginning that several ids have is refused with all of them', async () => {
  const several = last.id.slice(0, 8)
  const refused = await place.refusal(['checkpoint', 'show', several])
  assert.deepEqual([refused.code, refused.exit, refused.fix], ['request.invalid', 2, 'autovibe checkpoint list'])
  assert.ok((refused.errors?.length ?? 0) > 1)
  for (const { path, message } of refused.errors ?? []) assert.ok(path.startsWith(several) && message !== '', path)
  const { stderr } = await place.run(['checkpoint', 'show', several])
  for (const { path } of refused.errors ?? []) assert.ok(stderr.includes(path), stderr)
  const none = await place.refusal(['operation', 'show', 'opr_zzzz'])
  assert.deepEqual([none.code, none.exit], ['not_found', 5])
})

test('what the Hub finds wrong is told once, by the option that it came from', async () => {
  const cases = [
    { args: ['checkpoint', 'create', name, '--label', ''], says: '--label must have at least 1 character.', fix: 'autovibe checkpoint create --help' },
    { args: ['fork', last.id, '--name', 'No Name'], says: '--name "No Name" must be 1 to 40', fix: '--name no-name' },
    {
      args: ['provider', 'set', 'other', '--base-url', model.url, '--no-key', '--default-model', 'x'.repeat(201)],
      says: '--default-model must have at most 200 characters.',
      fix: 'autovibe provider set --help',
    },
  ]
  for (const { args, says, fix } of cases) {
    const refused = await place.refusal(args)
    assert.deepEqual([refused.code, refused.exit, refused.fix], ['request.invalid', 2, fix])
    assert.ok(refused.detail.startsWith(says), refused.detail)
    assert.equal((await place.run(args)).stderr.split(says).length, 2, 'it is said once')
  }
  for (const args of [
    ['operation', 'show', unknown('opr')],
    ['checkpoint', 'show', unknown('ckp')],
    ['attach', unknown('run')],
    ['checkpoint', 'list', unknown('run')],
  ])
    assert.equal((await place.run(paste((await place.refusal(args)).fix ?? ''))).code, 0, args.join(' '))
})

test('a fork says what it may spend, which is what its parent has left until somebody says otherwise', async () => {
  const spent = BigInt((await (await place.client()).runs.get(last.run_id as string)).spent)
  const forked = await place.json(Forked, ['fork', last.id])
  assert.ok(BigInt(forked.budget.limit) > 0n && BigInt(forked.budget.limit) >= 2_000_000_000n - spent)
  assert.match((await place.run(['fork', last.id])).stdout, new RegExp(`Budget: \\$\\d\\.\\d+, what ${name} has left`))
  assert.match((await place.run(['fork', last.id, '--budget', '0.75'])).stdout, /Budget: \$0\.75\.$/m)

  const client = await place.client()
  const budgetId = (await client.machines.get(name)).budget_id ?? ''
  const { settled } = await client.budgets.get(budgetId)
  await place.run(['machine', 'destroy', name])
  const { limit } = await client.budgets.get(budgetId)
  const ofDestroyed = await place.json(Forked, ['fork', last.id])
  assert.equal(BigInt(ofDestroyed.budget.limit), BigInt(limit) - BigInt(settled), 'what a destroyed machine has not spent is not lost')

  const used = await client.budgets.get(ofDestroyed.budget.id)
  await client.budgets.update(used, { limit: '0' })
  const { checkpoint } = await place.json(z.object({ checkpoint: Checkpoint }), ['checkpoint', 'create', ofDestroyed.machine.name])
  const empty = await place.run(['fork', checkpoint.id, '--name', 'empty'])
  assert.match(empty.stdout, new RegExp(`Budget: \\$0\\.00, as ${ofDestroyed.machine.name} \\(or its project\\) has nothing left`))
  assert.equal((await place.run(paste(nextOf(empty)[0] ?? ''), { env: { AUTOVIBE_PROVIDER: 'scripted' } })).code, 0, 'a run brings its own')
})

test('the name of a destroyed machine leads to its checkpoints, and a rollback of it to a fork', async () => {
  const listed = `autovibe checkpoint list ${last.machine_id}`
  for (const args of [
    ['diff', name],
    ['fork', name],
    ['attach', name],
    ['machine', 'start', name],
    ['checkpoint', 'list', name],
  ]) {
    const refused = await place.refusal(args)
    assert.deepEqual([refused.code, refused.exit, refused.fix], ['not_found', 5, listed], args.join(' '))
  }
  const { fix } = await place.refusal(['checkpoint', 'create', last.machine_id])
  assert.equal(fix, listed)
  const list = await place.run(paste(listed))
  assert.equal(list.code, 0)
  assert.match((await pasted(list))[0] ?? '', /^autovibe fork ckp_/)
  for (const ref of [name, last.machine_id]) assert.equal((await place.refusal(['rollback', ref, last.id])).fix, `autovibe fork ${last.id}`)
  assert.equal((await place.run(['machine', 'start', last.machine_id])).code, 6)
})

/** The commands that are told to be next. */
function nextOf({ stderr }: Result): string[] {
  const lines = stderr.split('\n')
  const first = lines.findIndex((line) => line.startsWith('Next: '))
  assert.ok(first >= 0, stderr)
  const commands = lines.slice(first).filter((line) => line !== '')
  for (const line of commands) assert.match(line, /^(Next:| {5}) autovibe [a-z]/)
  return commands.map((line) => line.slice('Next: '.length))
}

/** Runs what is told to be next, each as it stands, and answers it. */
async function pasted(result: Result): Promise<string[]> {
  assert.equal(result.code, 0, result.stderr)
  const commands = nextOf(result)
  for (const command of commands) {
    const { code, stderr } = await place.run(paste(command), { env: { AUTOVIBE_PROVIDER: 'scripted' } })
    assert.equal(code, 0, `${command}: ${stderr}`)
  }
  return commands
}

/** The arguments of a command, as a shell would split it. */
function paste(command: string): string[] {
  const [autovibe, ...args] = (command.match(/"[^"]*"|\S+/g) ?? []).map((word) => word.replace(/^"(.*)"$/, '$1'))
  assert.equal(autovibe, 'autovibe', command)
  return args
}

const unknown = (prefix: string): string => `${prefix}_${'0'.repeat(26)}`

function shortest(id: string, all: readonly string[]): string {
  for (let length = 8; length < id.length; length++) {
    const short = id.slice(0, length)
    if (all.filter((each) => each.startsWith(short)).length === 1) return short
  }
  return id
}
