/** What a rollback cannot undo, told before and after it: calls that were paid and connections that were let through by a real Hub and a real machine, commands of people, and nothing twice. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Server } from 'node:net'
import { networkInterfaces } from 'node:os'
import { after, before, test } from 'node:test'
import { Checkpoint, CheckpointId, Machine, RollbackEffects, Run } from '@autovibe/contract'
import { parseAddress } from '@autovibe/core/egress/address.ts'
import { classOf } from '@autovibe/core/egress/address-class.ts'
import { z } from 'zod'
import { type Place, recordsOf, until } from './support/command.ts'
import { openScriptedPlace, type ScriptedPlace } from './support/scripted-place.ts'

/** Sends five bytes through the proxy of its environment and says what came back. */
const ASK = `
import { request } from 'node:http'
const { hostname, port, username, password } = new URL(process.env.HTTPS_PROXY)
const headers = { 'proxy-authorization': 'Basic ' + Buffer.from(username + ':' + password).toString('base64') }
request({ hostname, port, method: 'CONNECT', path: process.argv[2], headers })
  .on('connect', ({ statusCode }, socket) => { console.log(statusCode); socket.pipe(process.stdout); socket.end('hello') })
  .end()
`
const Undone = z.object({ machine: Machine, checkpoint_id: CheckpointId, effects: RollbackEffects, dry_run: z.literal(true) })
const Done = z.object({ machine: Machine, checkpoint_id: CheckpointId, saved_as: CheckpointId, effects: RollbackEffects, operation_id: z.string() })
const Closing = z.object({ run: Run, checkpoints: z.array(Checkpoint) })

/** An address of this host that a project can allow: no packet leaves it. */
const OWN = Object.values(networkInterfaces())
  .flatMap((all) => all ?? [])
  .map(({ address }) => parseAddress(address))
  .find((address) => address && classOf(address) === 'private')

let server: Server
let destination: string
let scripted: ScriptedPlace
let place: Place
let run: Run
let start: Checkpoint
let saved: CheckpointId

before(async () => {
  server = createServer((socket) => void socket.on('error', () => undefined).pipe(socket))
  server.listen(0, OWN?.text ?? '127.0.0.1')
  await once(server, 'listening')
  const { address, port } = server.address() as AddressInfo
  destination = `${address.includes(':') ? `[${address}]` : address}:${port}`
  const replies = [
    { tools: [{ name: 'write_file', input: { path: 'ask.mjs', content: ASK } }] },
    { tools: [{ name: 'shell', input: { command: OWN ? `node ask.mjs '${destination}'` : 'true' } }] },
    { text: 'Done.' },
  ]
  scripted = await openScriptedPlace({
    name: 'reach',
    text: JSON.stringify({
      conversations: [
        { match: 'Reach out', replies },
        { match: 'Say so', replies: [{ text: 'So.' }] },
      ],
    }),
  })
  place = scripted.place
  await (await place.client()).projects.create({ name: 'shop' })
  if (OWN) assert.equal((await place.run(['project', 'egress', 'shop', '--allow-private', destination])).code, 0)
  const closing = await work('Reach out', '--project', scripted.repository.path, '--name', 'shop')
  run = closing.run
  const first = closing.checkpoints.find(({ trigger }) => trigger === 'start')
  assert.ok(first)
  start = first
})
after(async () => {
  await scripted.close()
  server.close()
})

async function work(prompt: string, ...more: string[]) {
  const { code, stdout, stderr } = await place.run(['run', prompt, '--provider', 'scripted', '--budget', '5', '--json', ...more])
  assert.equal(code, 0, `${stdout}\n${stderr}`)
  return Closing.parse(recordsOf(stdout).at(-1))
}
const foresee = async (machine: string, to: string) => (await place.json(Undone, ['rollback', machine, to, '--dry-run'])).effects
/** The lists of what is named, each as far as the test knows it. */
const figures = ({ model_calls, egress, commands }: RollbackEffects) => ({
  calls: model_calls.total,
  cost: model_calls.cost,
  egress: egress.destinations.map((one) => [one.destination, one.connections, one.bytes]),
  commands: commands.items.map(({ command }) => command),
})
const all = () => ({ calls: run.steps, cost: run.spent, egress: OWN ? [[destination, 1, '10']] : [], commands: ['echo "a b"'] })
const NOTHING = { calls: 0, cost: '0', egress: [], commands: [] }

test('before a rollback it says what was paid, what was reached and what people ran since, and changes nothing', async () => {
  await place.run(['exec', run.machine_name, '--', 'echo', 'a b'])
  const effects = await until('what the tunnel and the command have left behind', async () => {
    const now = await foresee(run.machine_name, start.id)
    return now.commands.total === 1 && (now.egress.bytes !== '0') === (OWN !== undefined) && now
  })
  assert.deepEqual(figures(effects), all())
  assert.deepEqual(effects.model_calls.models, [{ provider: 'scripted', model: run.model, calls: run.steps, cost: run.spent }])
  assert.ok(effects.since >= start.created_at)
  assert.equal((await (await place.client()).machines.get(run.machine_id)).head_checkpoint_id, run.checkpoint_id)
  // Of the checkpoint that it stands on there is nothing but the command since.
  assert.deepEqual(figures(await foresee(run.machine_name, run.checkpoint_id ?? '')), { ...NOTHING, commands: ['echo "a b"'] })
})

test('people read it before it begins; programs have it in the answer, in the output of the operation and in the event', async () => {
  const dry = await place.run(['rollback', run.machine_name, start.id, '--dry-run'])
  assert.match(
    dry.stdout,
    /^\S+ would go back to ckp_\w+\.\nWhat cannot be undone, of the last \d+ (s|min):\n {2}3 model calls, \$0\.\d+ \(3 claude-sonnet-5\)\n/,
  )
  assert.match(dry.stdout, / {2}1 command of people: echo "a b" \(\S+\)\n$/)
  const foreseen = await foresee(run.machine_name, start.id)
  const done = await place.json(Done, ['rollback', run.machine_name, start.id])
  assert.deepEqual(done.effects, foreseen)
  saved = done.saved_as
  const client = await place.client()
  assert.deepEqual((await client.operations.get(done.operation_id)).output, { effects: foreseen })
  const { items } = await client.eventPage({ types: ['machine.rolled_back'] })
  assert.deepEqual(
    items.map(({ machine_id, checkpoint_id, data }) => ({ machine_id, checkpoint_id, data })),
    [{ machine_id: run.machine_id, checkpoint_id: start.id, data: { name: run.machine_name, saved, effects: foreseen } }],
  )
})

test('what one rollback has left the next does not tell again, also when it takes the first one back', async () => {
  assert.deepEqual(figures(await foresee(run.machine_name, start.id)), NOTHING)
  const again = await work('Say so', '--machine', run.machine_name)
  const second = { ...NOTHING, calls: again.run.steps, cost: again.run.spent }
  assert.deepEqual(figures(await foresee(run.machine_name, start.id)), second)
  assert.deepEqual(figures(await foresee(run.machine_name, saved)), second)
  const { stdout } = await place.run(['rollback', run.machine_name, saved])
  assert.match(stdout, /^What cannot be undone, .*:\n {2}1 model call, .*\n✓ \S+ is back at ckp_\w+\.\n {2}What it had until now is kept as ckp_\w+\.\n$/)
  // It stands where it stood before the first one, with all that led there.
  assert.deepEqual(figures(await foresee(run.machine_name, start.id)), all())
})

test('a fork has done nothing yet, whatever the machine had that it comes from', async () => {
  const { machine } = await place.json(z.object({ machine: Machine }), ['fork', saved, '--budget', '1'])
  for (const to of [saved, start.id]) assert.deepEqual(figures(await foresee(machine.name, to)), NOTHING)
})

test('a rollback that cannot be is not foreseen either', async () => {
  const missing = await place.refusal(['rollback', run.machine_name, 'ckp_00000000000000000000000000', '--dry-run'])
  assert.equal(missing.code, 'not_found')
})
