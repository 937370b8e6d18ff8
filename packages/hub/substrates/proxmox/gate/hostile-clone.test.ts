/** Root in a fork, which begins with its parent's disk: it shows whatever lies there, and is nobody but itself. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { decodeInvitation } from '@autovibe/contract'
import { Ground, never, newMachine, type Vm } from './testing/ground.ts'
import { hello } from './testing/raw-peer.ts'

suite('a hostile guest', () => {
  let ground: Ground
  before(async () => {
    ground = await Ground.open()
  })
  after(() => ground.close())

  test('in a clone of a machine’s disk cannot speak for that machine, whatever of the disk it shows', async () => {
    const parent = await ground.running()
    const parentSecret = await secretIn(parent.vm)
    const disk = await ground.cloneOf(parent.vm)
    const child = newMachine()
    await disk.insert(await ground.gate.invite(child))
    const childSecret = await secretIn(disk)
    const kept = JSON.parse(await readFile(join(disk.state, 'identity.json'), 'utf8')) as Kept
    const { token } = kept.registered
    const { port } = ground.gate
    const bodyOf = (secret: string): string => secret.split('.')[1] ?? ''
    // What makes the token good is nowhere on the disk.
    const files = (await readdir(disk.folder, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile())
    assert.ok(files.length > 1)
    for (const { parentPath, name } of files) {
      const content = await readFile(join(parentPath, name), 'latin1')
      for (const form of [bodyOf(parentSecret), Buffer.from(bodyOf(parentSecret)).toString('base64')]) assert.ok(!content.includes(form), name)
    }
    const prefix = token.split('.')[0]
    const guesses = [undefined, childSecret, token, `${prefix}.${bodyOf(childSecret)}`, `${prefix}.${kept.claim}`, `${prefix}.${kept.invitation.slice(0, 43)}`]
    for (const wants of ['link', 'door'] as const) {
      for (const version of [1, 2] as const)
        for (const secret of guesses) {
          const said = { wants, version, token, ...(secret === undefined ? {} : { secret }) }
          assert.deepEqual((await hello(port, said)).welcome, { is: 'refused' }, JSON.stringify(said))
        }
      const { socket, welcome } = await hello(port, { wants: 'door', version: 2, token, secret: parentSecret })
      assert.deepEqual(welcome, { is: 'open' })
      socket.destroy()
    }
    for (const secret of guesses.filter((guess) => guess !== undefined && guess !== childSecret) as string[])
      for (const version of [1, 2] as const)
        assert.deepEqual((await hello(port, { wants: 'register', version, secret, claim: kept.claim })).welcome, { is: 'refused' }, secret)
    // Root in the clone tells the guest that it is registered already.
    const invitation = createHash('sha256')
      .update((await readFile(join(disk.folder, 'serial'), 'utf8')).trim())
      .digest('hex')
    await writeFile(join(disk.state, 'identity.json'), JSON.stringify({ ...kept, invitation }))
    disk.boot()
    for (let looks = 0; !disk.said.includes('does not let this machine in'); looks++) {
      assert.ok(looks < 20_000, disk.said)
      await parent.guest.state(never)
    }
    assert.equal(ground.gate.current(parent.machineId), parent.guest)
    assert.equal(ground.gate.current(child), null)
    await disk.end()
    // An honest guest on that disk becomes the child, and only that.
    await rm(join(disk.state, 'identity.json'))
    disk.boot()
    await ground.linked(child)
    assert.equal(ground.gate.current(parent.machineId), parent.guest)
    assert.equal((await ground.door.run(parent.machineId, 'echo mine')).output.toString(), 'mine\n')
  })
})

interface Kept {
  readonly invitation: string
  readonly claim: string
  readonly registered: { readonly machine: string; readonly token: string }
}

const secretIn = async (vm: Vm): Promise<string> => decodeInvitation((await readFile(join(vm.folder, 'serial'), 'utf8')).trim())?.secret ?? ''
