/** autovibe diff between any two checkpoints, through the real command, Hub and machines, and what the real git makes of it. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { after, before, test } from 'node:test'
import { promisify } from 'node:util'
import { Checkpoint, DiffDocument } from '@autovibe/contract'
import { z } from 'zod'
import type { Place } from './support/command.ts'
import { openScriptedPlace, type ScriptedPlace } from './support/scripted-place.ts'

const SCRIPT = `
conversations:
  - match: Look around
    replies:
      - { text: Done. }
`
/** Every kind of change that git knows, at names that need quoting; \\377 is no UTF-8. */
const CHANGES = `
mkdir -p lib "new
line" && git mv -k x y 2>/dev/null
mv src lib/src && echo "// more" >> lib/src/age.js
printf 'a\\0b' > bytes.bin && printf 'x' > "$(printf 'odd\\377')" && printf 'no end' > "new
line/tab	here"
chmod +x README.md && ln -s lib/src link && : > empty && rm -r test && echo now a file > test
`

let scripted: ScriptedPlace
let place: Place
let machine: string
let start: string
let changed: string

before(async () => {
  scripted = await openScriptedPlace({ name: 'look.yaml', text: SCRIPT })
  place = scripted.place
  const ran = await place.run(['run', 'Look around', '--project', scripted.repository.path, '--provider', 'scripted', '--budget', '1'])
  assert.equal(ran.code, 0, ran.stderr)
  const client = await place.client()
  const [made] = await client.machines.list().take(1)
  machine = made?.name ?? ''
  start = made?.head_checkpoint_id ?? ''
  const inside = await place.run(['exec', machine, '--', 'sh', '-ec', CHANGES])
  assert.equal(inside.code, 0, inside.stderr)
  changed = (await place.json(z.object({ checkpoint: Checkpoint }), ['checkpoint', 'create', machine])).checkpoint.id
})
after(() => scripted.close())

/** The tree that git would commit of the work tree. */
async function treeOf(repository: ScriptedPlace['repository']): Promise<string> {
  await repository.git('add', '--all')
  return await repository.git('write-tree')
}

test('what the command prints goes through a pipe into git apply, there and back', async () => {
  const { path, git } = scripted.repository
  const first = await treeOf(scripted.repository)
  const pipe = (from: string, to: string) =>
    place.run(['diff', from, to], { through: ['sh', '-c', `"$@" | git -C ${path} apply --index --whitespace=nowarn`, 'sh'] })
  const there = await pipe(start, changed)
  assert.deepEqual([there.code, there.stderr], [0, ''])
  assert.notEqual(await treeOf(scripted.repository), first)
  assert.match(await git('ls-files', '--stage'), /^100755 \w+ 0\tREADME\.md$/m)
  assert.equal(await git('show', ':bytes.bin'), 'a\0b')
  const again = await place.run(['diff', start, changed])
  const names = await git('-c', 'core.quotePath=true', 'diff', '--cached', '-M', '--name-status', 'HEAD')
  assert.equal((await place.run(['diff', start, changed, '--name-status'])).stdout.trim(), names)
  assert.match(again.stdout, /^rename from src\/age\.js\nrename to lib\/src\/age\.js$/m)
  const back = await pipe(changed, start)
  assert.deepEqual([back.code, back.stderr], [0, ''])
  assert.equal(await treeOf(scripted.repository), first)
})

test('a document, a list with numbers and a patch tell of the same files', async () => {
  const document = await place.json(DiffDocument, ['diff', start, changed])
  assert.deepEqual([document.against_id, document.checkpoint_id, document.totals.files], [start, changed, document.files.length])
  assert.ok(document.files.every(({ patch }) => patch !== null))
  const { stdout } = await place.run(['diff', start, changed])
  assert.equal(stdout, document.files.map(({ patch }) => patch).join(''))
  const stat = (await place.run(['diff', start, changed, '--stat'])).stdout.trimEnd().split('\n')
  assert.equal(stat.length, document.files.length + 1)
  const { added_lines, removed_lines } = document.totals
  assert.equal(stat.at(-1), `+${added_lines} −${removed_lines} in ${document.files.length} files`)
  const apart = await place.json(DiffDocument, ['diff', start, changed, '--no-renames', '--name-status'])
  assert.ok(apart.files.every(({ status, patch }) => status !== 'renamed' && patch === null))
})

test('machines and runs are compared by where they stand, in one project', async () => {
  const forked = await place.run(['fork', start, '--name', 'twin'])
  assert.equal(forked.code, 0, forked.stderr)
  const { stdout } = await place.run(['diff', 'twin', machine])
  assert.equal(stdout, (await place.run(['diff', start, changed])).stdout)
  const same = await place.run(['diff', changed, machine])
  assert.deepEqual([same.code, same.stdout, same.stderr], [0, '', `Nothing changed up to ${changed}.\n`])
})

test('what cannot be compared is refused with a way on', async () => {
  const { repository } = scripted
  const other = await promisify(execFile)('cp', ['-r', repository.path, `${repository.path}-other`]).then(() => `${repository.path}-other`)
  try {
    assert.equal((await place.run(['run', 'Look around', '--project', other, '--provider', 'scripted', '--budget', '1'])).code, 0)
    const [second] = await (await place.client()).machines.list().take(1)
    const apart = await place.refusal(['diff', second?.name ?? '', machine])
    assert.deepEqual([apart.code, apart.exit], ['request.invalid', 2])
    assert.match(apart.fix ?? '', /^Compare checkpoints of one project: autovibe checkpoint list mch_/)
  } finally {
    await promisify(execFile)('rm', ['-r', other])
  }
  const forms = await place.refusal(['diff', '--stat', '--name-status'])
  assert.equal(forms.code, 'request.invalid')
  assert.equal((await place.refusal(['diff', start, 'ckp_0000'])).code, 'not_found')
})
