/** Limits as a person sets and reads them: the tree of budgets, the ledger, caps for a period, the audit, and what a project sets for itself. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { Budget, LedgerAudit, LedgerEntry, type Project, ProjectSettings, type Run } from '@autovibe/contract'
import pg from 'pg'
import { z } from 'zod'
import type { Place } from './support/command.ts'
import type { Repository } from './support/demo-project.ts'
import { openScriptedPlace, type ScriptedPlace } from './support/scripted-place.ts'

const SCRIPT = `
conversations:
  - match: Look around
    replies:
      - { text: First., tools: [{ name: list_files, input: {} }] }
      - { text: Done. }
`
const PROMPT = 'Look around in the project'
const Shown = z.object({ budgets: z.array(Budget), above: z.array(Budget) })
const Entry = LedgerEntry.extend({
  reserved_after: z.string(),
  settled_after: z.string(),
  scope: z.string(),
  scope_id: z.string(),
  model: z.string().nullable(),
})
const Ledger = z.object({ budget: Budget, entries: z.array(Entry), earlier: z.int() })
const SetTo = z.object({ set: z.object({ kind: z.string(), name: z.string() }), budget: Budget })
const Settings = z.object({ settings: ProjectSettings })

let scripted: ScriptedPlace
let place: Place
let repository: Repository
let project: Project
let run: Run

before(async () => {
  scripted = await openScriptedPlace({ name: 'look.yaml', text: SCRIPT })
  ;({ place, repository } = scripted)
})
after(() => scripted.close())

const runArgs = (prompt = PROMPT) => ['run', prompt, '--project', repository.path, '--name', 'shop', '--provider', 'scripted', '--budget', '1']

test('before anything was spent, budget says how to begin, and a cap can be set at once', async () => {
  assert.match(
    (await place.run(['budget'])).stdout,
    /^No budget has a limit or spending yet\..*\n {2}autovibe run .*\n {2}autovibe budget set organisation 100 --period monthly\n$/,
  )
  const set = await place.run(['budget', 'set', 'organisation', '100', '--period', 'monthly'])
  assert.match(set.stdout, /^✓ organisation: monthly limit \$100\.00; \$0\.00 spent, \$100\.00 left\.$/m)
  assert.match(
    set.stdout,
    /^All projects together may spend \$100\.00 each month \(begins anew at \d{4}-\d\d-01 00:00 UTC\), with a warning at 80 % and 95 %\.$/m,
  )
  assert.match((await place.run(['budget'])).stdout, /^organisation +no limit +none .*\n`- monthly +\[\.+\] +\$100\.00 .* until \S+ 00:00Z +bud_\w+$/m)
})

test('the tree names the project, the machine and the run, with every open budget in --json', async () => {
  assert.equal((await place.run(runArgs())).code, 0)
  const client = await place.client()
  ;[run] = (await client.runs.list().take(1)) as [Run]
  project = await client.projects.get('shop')
  const tree = (await place.run(['budget', '--all'])).stdout
  const names = [...tree.matchAll(/^[ |`-]*(organisation|monthly|project shop|machine [a-z-]+|run "[^"]+") .*?(\w*)$/gm)]
  assert.deepEqual(
    names.map(([, name]) => name),
    ['organisation', 'monthly', 'project shop', `machine ${run.machine_name}`, `run "${PROMPT}"`],
    tree,
  )
  assert.deepEqual([names[2]?.[2], names[3]?.[2], names[4]?.[2]], [project.id, run.machine_id, run.id])
  assert.match(tree, /run .* closed +run_/)
  assert.equal((await place.run(['budget'])).stdout.includes('run "'), false, 'what is closed is left out')

  const { budgets } = await place.json(Shown, ['budget', 'show'])
  assert.deepEqual(budgets.map(({ scope, period }) => `${scope} ${period}`).sort(), [
    'machine total',
    'organisation monthly',
    'organisation total',
    'project total',
  ])
  const part = await place.json(Shown, ['budget', 'show', 'project:shop'])
  assert.deepEqual(
    [part.budgets.map(({ scope }) => scope), part.above.map(({ period }) => period)],
    [
      ['project', 'machine'],
      ['monthly', 'total'],
    ],
  )
})

test('each row of the ledger says who moved what for which model, and what it came to; pages meet without a gap', async () => {
  const { budget, entries, earlier } = await place.json(Ledger, ['budget', 'ledger', 'organisation'])
  assert.deepEqual(
    entries.map(({ kind }) => kind),
    ['reserve', 'settle', 'reserve', 'settle'],
  )
  assert.deepEqual([entries.at(-1)?.settled_after, entries.at(-1)?.reserved_after, earlier], [budget.settled, '0', 0])
  for (const entry of entries) assert.deepEqual([entry.scope, entry.scope_id, entry.model], ['run', run.id, 'claude-sonnet-5'])
  assert.equal(run.spent, budget.settled)

  const last = await place.run(['budget', 'ledger', run.id, '--tail', '1'])
  assert.match(last.stdout, new RegExp(`settle .* claude-sonnet-5 +run "${PROMPT}" +${run.id}$`, 'm'))
  const [, command = ''] = /^3 earlier rows are not shown\.\nNext: (autovibe budget ledger run_\w+ --before \d+)\n$/.exec(last.stderr) ?? []
  const before = await place.json(Ledger, [...command.split(' ').slice(1), '--tail', '2'])
  assert.deepEqual([before.entries.map(({ id }) => id), before.earlier], [[entries[1]?.id, entries[2]?.id], 1])
  assert.equal(before.entries[0]?.settled_after, entries[1]?.settled_after)
  assert.equal((await place.refusal(['budget', 'ledger', 'shop', '--tail', 'all'])).code, 'request.invalid')
})

test("a project's cap for a day is made, changed and said in words, and what cannot have one is refused", async () => {
  const made = await place.json(SetTo, ['budget', 'set', 'project:shop', '5', '--period', 'daily', '--warn-at', '50,90'])
  assert.deepEqual([made.set.name, made.budget.period, made.budget.limit, made.budget.thresholds], ['shop', 'daily', '5000000000', [50, 90]])
  const changed = await place.json(SetTo, ['budget', 'set', 'project:shop', '4', '--period', 'daily', '--greediness', '0.25'])
  assert.deepEqual([changed.budget.id, changed.budget.limit, changed.budget.share, changed.budget.thresholds], [made.budget.id, '4000000000', 0.25, [50, 90]])
  const named = await place.run(['budget', 'set', made.budget.id, '--warn-at', 'none'])
  assert.match(named.stdout, /^✓ project shop \(\S+\): daily limit \$4\.00; \$0\.00 spent, \$4\.00 left\.$/m)
  assert.match(named.stdout, /may spend \$4\.00 each day \(begins anew at \S+ 00:00 UTC\), without a warning; one call of it may hold at most 0\.25 of /)

  const low = await place.run(['budget', 'set', 'project:shop', '0.0001'])
  assert.match(low.stderr, /^! Already spent: \$0\.\d+; no model call goes out until the limit is above that\.\nNext: autovibe budget set prj_/)
  assert.equal((await place.run([...(/^Next: autovibe (.*)$/m.exec(low.stderr)?.[1] ?? '').split(' ')])).code, 0)

  const wide = await place.run(['budget', 'set', 'project:shop', '40'])
  assert.equal(wide.stderr, 'A budget above it allows less: its daily limit $4.00; $0.00 spent, $4.00 left.\n')
  const none = await place.run(['budget', 'set', 'project:shop', 'none', '--period', 'daily'])
  assert.match(none.stdout, /^✓ project shop \(\S+\): daily limit \$4\.00 → none; /)
  assert.match(none.stdout, /^All machines of the project shop \(\S+\) together may spend without a limit/m)

  const refusals: readonly (readonly [readonly string[], string])[] = [
    [['project:shop', 'none', '--period', 'weekly'], 'not_found'],
    [['organization', '5'], 'not_found'],
    [[run.machine_id, '1', '--period', 'daily'], 'request.invalid'],
    [[made.budget.id, '1', '--period', 'weekly'], 'request.invalid'],
    [['project:shop', '--warn-at', '50', '--period', 'weekly'], 'not_found'],
    [['organisation', '--greediness', '0.5'], 'request.invalid'],
    [['project:none', '1'], 'not_found'],
  ]
  for (const [args, code] of refusals) assert.equal((await place.refusal(['budget', 'set', ...args])).code, code, args.join(' '))
})

test('the models that a project may call are set by name, and a run with another is refused before it costs anything', async () => {
  const set = await place.json(Settings, ['project', 'models', 'shop', '--allow', 'claude-opus-5'])
  assert.deepEqual(set.settings.allowed_models, ['claude-opus-5'])
  const refused = await place.run([...runArgs(), '--json'])
  assert.match(refused.stdout + refused.stderr, /model\.not_allowed/)
  assert.equal((await place.run(['project', 'models', 'shop', '--any'])).stdout, '✓ project shop: may call every model that has a price.\n')
  assert.equal((await place.run([...runArgs(), '--json'])).code, 0)
})

test('a price is taken in dollars to the pico-dollar, stays where it is not named, and is used for the next charge', async () => {
  const args = ['project', 'price', 'shop', 'claude-sonnet-5', '--provider', 'scripted']
  assert.match((await place.refusal([...args, '--input', '1', '--output', '2'])).detail, /--context-window/)
  assert.match((await place.refusal([...args, '--input', '0.0000001'])).detail, /at most six decimals/)
  assert.equal(
    (await place.refusal(['project', 'price', 'shop', 'x', '--provider', 'none', '--input', '1', '--output', '2', '--context-window', '9'])).fix,
    'autovibe provider list',
  )
  await place.json(Settings, [...args, '--input', '3.000001', '--output', '15', '--context-window', '200000'])
  const { settings } = await place.json(Settings, [...args, '--cache-read', '0.3'])
  const [price] = settings.prices
  assert.deepEqual(
    [price?.input, price?.output, price?.cache_read, price?.cache_write_5m, price?.cache_write_1h],
    ['3000001', '15000000', '300000', '3750002', '6000002'],
  )
  assert.match(
    (await place.run(['project', 'show', 'shop'])).stdout,
    /^claude-sonnet-5 +scripted +\$3\.000001 +\$15\.00 +\$0\.30 +\$3\.750002 +\$6\.000002 +200,000$/m,
  )
  assert.equal((await place.run([...runArgs(), '--json'])).code, 0)
  const [usage] = await (await place.client()).usage.list({ project: project.id, resource: 'money' }).take(1)
  assert.ok(usage?.price_version?.includes(project.id), usage?.price_version ?? 'none')
  assert.deepEqual((await place.json(Settings, [...args, '--remove'])).settings.prices, [])
})

test("a project's own key goes in on standard input, is shown nowhere, and is forgotten again", async () => {
  const secret = 'sk-of-the-shop-alone'
  const set = await place.run(['project', 'key', 'shop', 'scripted', '--key-stdin'], { input: `${secret}\n` })
  assert.match(set.stdout, /^✓ project shop: calls scripted with its own key, at http:\/\/127\.0\.0\.1:\d+ alone\.$/m)
  const shown = await place.run(['project', 'show', 'shop', '--json'])
  assert.equal((set.stdout + set.stderr + shown.stdout + shown.stderr).includes(secret), false)
  assert.deepEqual((await place.json(Settings, ['project', 'key', 'shop', 'scripted', '--remove'])).settings.keys, [])
  assert.match((await place.refusal(['project', 'key', 'shop', 'scripted'])).fix ?? '', /--key-stdin/)
  assert.equal((await place.refusal(['project', 'show', 'none'])).fix, 'autovibe project list')
  assert.match((await place.run(['project'])).stdout, new RegExp(`^shop +\\S+ +[0-9a-f]{8} .* ${project.id}$`, 'm'))
})

test('the audit says that every balance agrees, and ends with 1 and the row when one does not', async () => {
  assert.match(
    (await place.run(['budget', 'audit'])).stdout,
    /^✓ Every balance agrees with its rows: \d+ budgets, \d+ rows, \d+ reservations, \d+ usage events\.$/m,
  )
  const { budget } = await place.json(Ledger, ['budget', 'ledger', run.id])
  const db = new pg.Client({ host: join(place.dataDir, 'postgres', 'socket'), port: 5432, user: 'autovibe', database: 'postgres' })
  await db.connect()
  await db.query('update budgets set settled = settled + 1 where id = $1', [budget.id])
  const found = await place.run(['budget', 'audit'])
  assert.equal(found.code, 1)
  assert.match(found.stdout, new RegExp(`^balance +${budget.id} +\\S`, 'm'))
  assert.match(found.stderr, /^✗ 1 finding in .* Nothing was changed/)
  assert.deepEqual(
    (await place.json(LedgerAudit, ['budget', 'audit'], { exit: 1 })).findings.map(({ subject }) => subject),
    [budget.id],
  )
  await db.query('update budgets set settled = settled - 1 where id = $1', [budget.id])
  await db.end()
  assert.equal((await place.run(['budget', 'audit'])).code, 0)
})
