/** When checkpoints are taken, as a person sets it for a project and as the real agent then takes them. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { Checkpoint, DEFAULT_TRIGGERS, ProjectSettings, Run } from '@autovibe/contract'
import { z } from 'zod'
import { type Place, recordsOf } from './support/command.ts'
import { openScriptedPlace, type ScriptedPlace } from './support/scripted-place.ts'

const STEPS = ['one', 'two', 'three', 'four']
const SCRIPT = JSON.stringify({
  conversations: [
    {
      match: 'Write four files',
      replies: [...STEPS.map((step) => ({ tools: [{ name: 'shell', input: { command: `echo ${step} >${step}.txt` } }] })), { text: 'Done.' }],
    },
  ],
})
const Settings = z.object({ settings: ProjectSettings })
const Closing = z.object({ run: Run, checkpoints: z.array(Checkpoint) })

let scripted: ScriptedPlace
let place: Place

before(async () => {
  scripted = await openScriptedPlace({ name: 'four', text: SCRIPT })
  place = scripted.place
  await (await place.client()).projects.create({ name: 'shop' })
})
after(() => scripted.close())

const set = (...options: string[]) => place.json(Settings, ['project', 'triggers', 'shop', ...options])

test('without options they are shown, with some of them those are changed and the others stay', async () => {
  assert.deepEqual((await set()).settings.triggers, DEFAULT_TRIGGERS)
  const changed = await place.run(['project', 'triggers', 'shop', '--floor', '30s', '--every', '10m', '--risky', 'make deploy', '*migrate*', '--no-at-end'])
  assert.equal(
    changed.stdout,
    [
      '✓ project shop: checkpoints are taken by themselves',
      '  after a step of the agent that may have changed files',
      '  before a command that may lose or publish work, while something is not kept; that is also: make deploy, *migrate*',
      '  when 10 min have passed since the last one',
      "  for each 10 % of a run's budget that is spent",
      '  at the end of a run, if something has changed that is not kept',
      '  no sooner than 30 s after the last one, but for a start, an end and a risk to changes\n',
    ].join('\n'),
  )
  const { settings } = await set('--not-risky', '*migrate*', '--after-response', 'never', '--every-budget', '0')
  assert.deepEqual(settings.triggers, {
    ...DEFAULT_TRIGGERS,
    floor_seconds: 30,
    every_minutes: 10,
    risky_patterns: ['make deploy'],
    at_end: false,
    after_response: 'never',
    every_budget_percent: 0,
  })
  assert.match(
    (await place.run(['project', 'show', 'shop'])).stdout,
    /^triggers +before risky commands, every 10 min, at the end if something has changed; at least 30 s apart$/m,
  )
  assert.deepEqual((await set('--default')).settings.triggers, DEFAULT_TRIGGERS)
})

test('what cannot be set is refused with what can', async () => {
  for (const [options, says] of [
    [['--floor', '2h'], /--floor takes whole seconds, at most an hour/],
    [['--floor', 'soon'], /--floor takes a number with s, m, h or d, not "soon"\./],
    [['--every', '90s'], /--every takes whole minutes/],
    [['--every-budget', '60'], /--every-budget takes 0, or a whole number from 5 to 50/],
    [['--after-response', 'sometimes'], /--after-response takes always, when-files-changed or never/],
    [['--default', '--at-end'], /With --default nothing else/],
    [['--risky', 'a;b'], /words/],
  ] as const) {
    const { code, detail } = await place.refusal(['project', 'triggers', 'shop', ...options])
    assert.equal(code, 'request.invalid', options.join(' '))
    assert.match(detail, says)
  }
  assert.equal((await place.refusal(['project', 'triggers', 'shop', '--not-risky', 'x'])).code, 'not_found')
})

test('a run whose steps change files quickly under a floor makes fewer checkpoints, and ends with everything kept', async () => {
  assert.deepEqual(await triggersOf(), ['start', ...STEPS.map(() => 'files-changed'), 'exit'])
  await set('--floor', '1h', '--no-at-end')
  // The machine begins with the start that is there already.
  assert.deepEqual(await triggersOf(), ['files-changed', 'exit'])
  const { stdout } = await place.run(['diff'])
  for (const step of STEPS) assert.match(stdout, new RegExp(`^\\+${step}$`, 'm'))
})

async function triggersOf(): Promise<string[]> {
  const args = ['run', 'Write four files', '--project', scripted.repository.path, '--name', 'shop', '--provider', 'scripted', '--budget', '100', '--json']
  const { code, stdout, stderr } = await place.run(args)
  assert.equal(code, 0, `${stdout}\n${stderr}`)
  const { checkpoints } = Closing.parse(recordsOf(stdout).at(-1))
  return checkpoints.toSorted((one, other) => (one.id < other.id ? -1 : 1)).map(({ trigger }) => trigger)
}
