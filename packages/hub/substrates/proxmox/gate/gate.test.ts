/** A real guest at a real gate: every call, and what outlives whom. */
import assert from 'node:assert/strict'
import { readdir, readFile, stat } from 'node:fs/promises'
import { request } from 'node:http'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { after, before, suite, test } from 'node:test'
import { type CheckpointId, tarEnd, tarHeader, tarPadding } from '@autovibe/contract'
import { decodePath } from '@autovibe/core/checkpoints/paths.ts'
import { accountAfter, accountFromInside } from '../../conformance-tree.ts'
import { AWKWARD, randomWork } from '../../conformance-work.ts'
import type { Guest } from '../guest-links.ts'
import { Ground, never, newCheckpoint, newMachine, TOKEN, treeOf } from './testing/ground.ts'
import { hello, register } from './testing/raw-peer.ts'

suite('a guest at the gate', () => {
  let ground: Ground
  before(async () => {
    ground = await Ground.open()
  })
  after(() => ground.close())

  test('registers, is given a tree, starts its agent, and the agent finds its Hub', async () => {
    const { machineId, guest } = await ground.machine()
    assert.equal((await guest.state(never)).hasTree, false)
    await guest.plant(null, never)
    const before = await guest.state(never)
    assert.deepEqual({ hasTree: before.hasTree, agent: before.agent, life: before.life }, { hasTree: true, agent: 'stopped', life: '' })
    await ground.start({ machineId, guest })
    const { code, output, token } = await ground.door.run(machineId, 'pwd; ls; echo "$HOME"')
    assert.equal(code, 0)
    assert.match(output.toString(), /\/trees\/tree\nhome\nproject\n.*\/trees\/tree\/home\n$/)
    assert.equal(token, TOKEN)
    const state = await guest.state(never)
    assert.equal(state.agent, 'running')
    assert.notEqual(state.life, '')
    assert.ok(state.processes >= 1 && state.memoryBytes > 0)
    await ground.start({ machineId, guest })
    assert.equal((await guest.state(never)).life, state.life)
    await guest.stopAgent(never)
    await guest.stopAgent(never)
    const after = await guest.state(never)
    assert.deepEqual([after.agent, after.processes, after.life], ['stopped', 0, state.life])
    await ground.start({ machineId, guest })
    assert.notEqual((await guest.state(never)).life, state.life)
  })

  test('freezes its tree under a running agent, tells what lies between two, and goes back', async () => {
    const { machineId, guest } = await ground.running()
    await ground.door.run(machineId, AWKWARD)
    const scene = await accountFromInside(ground.door, machineId)
    const [first, second] = [newCheckpoint(), newCheckpoint()]
    assert.equal(await guest.freeze(first, never), 'consistent')
    assert.equal(await guest.freeze(first, never), 'consistent')
    assert.deepEqual(await treeOf(guest, first), scene)
    await ground.door.run(machineId, 'echo more >project/new; rm -r project/gone; head -c 3000000 /dev/urandom >project/large')
    const later = await accountFromInside(ground.door, machineId)
    await guest.freeze(second, never)
    assert.deepEqual((await accountAfter(scene, guest.changes(second, first, never))).account, later)
    assert.deepEqual([...(await guest.state(never)).frozen].sort(), [first, second].sort())
    await assert.rejects(guest.rollBack(first, never), { code: 'substrate.failed' })
    await guest.stopAgent(never)
    await guest.rollBack(first, never)
    await ground.start({ machineId, guest })
    assert.deepEqual(await accountFromInside(ground.door, machineId), scene)
    await guest.thaw(first, never)
    await guest.thaw(first, never)
    await assert.rejects(treeOf(guest, first), { code: 'substrate.snapshot_gone' })
    await assert.rejects(guest.rollBack(first, never), { code: /substrate\.(failed|snapshot_gone)/ })
    await guest.sync(never)
  })

  test('says fuzzy while a file of the tree is open for writing', async () => {
    const { machineId, guest } = await ground.running()
    await ground.door.run(machineId, 'setsid sh -c "exec 9>project/log; while :; do sleep 1; done" >/dev/null 2>&1 & while [ ! -e project/log ]; do :; done')
    assert.equal(await guest.freeze(newCheckpoint(), never), 'fuzzy')
    await guest.stopAgent(never)
    assert.equal(await guest.freeze(newCheckpoint(), never), 'consistent')
  })

  test('plants what it was told of another tree, and tells the same again', async () => {
    const { machineId, guest } = await ground.running()
    await ground.door.run(machineId, AWKWARD)
    for (const seed of [3, 4]) await ground.door.run(machineId, randomWork(seed))
    await ground.door.run(
      machineId,
      'cd project; head -c 2500000 /dev/urandom >large; chmod 4755 tool; touch -d @1000000000.25 large; mkdir shut; touch shut/in; chmod 500 shut',
    )
    const id = newCheckpoint()
    await guest.freeze(id, never)
    const scene = await treeOf(guest, id)
    const other = await ground.machine()
    await other.guest.plant(tarOf(guest, id), never)
    const planted = newCheckpoint()
    await other.guest.freeze(planted, never)
    assert.deepEqual(await treeOf(other.guest, planted), scene)
    assert.equal((await stat(join(other.vm.tree, 'project/large'))).mtimeMs, 1_000_000_000_250)
    // One that is cut off leaves the tree as it was.
    async function* cut(): AsyncGenerator<Uint8Array, void> {
      for await (const chunk of tarOf(guest, id)) {
        yield chunk
        if (chunk.length > 100_000) return
      }
    }
    await assert.rejects(other.guest.plant(cut(), never), { code: 'substrate.failed' })
    const again = newCheckpoint()
    await other.guest.freeze(again, never)
    assert.equal((await accountAfter(scene, other.guest.changes(again, planted, never))).changes, 0)
  })

  test('ends whatever the agent has started, however it hides', async () => {
    const { machineId, guest } = await ground.running()
    const hide =
      'perl -e \'if (!fork) { require POSIX; POSIX::setsid(); if (!fork) { %ENV = (); open F, ">project/pid"; print F $$; close F; rename "project/pid", "project/hidden"; exec { "sleep" } "sleep", "1000" } exit } wait\''
    const { code } = await ground.door.run(
      machineId,
      `${hide} </dev/null >/dev/null 2>&1; while [ ! -s project/hidden ]; do sleep 0.05; done; cat project/hidden`,
    )
    assert.equal(code, 0)
    const pid = (await ground.door.run(machineId, 'cat project/hidden')).output.toString()
    // Z: it has ended, and whoever is its parent now has not asked for it yet.
    const stateOf = async () => / ([A-Z]) /.exec(await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => ' Z '))?.[1]
    assert.notEqual(await stateOf(), 'Z')
    await guest.stopAgent(never)
    assert.equal(await stateOf(), 'Z')
    assert.equal((await guest.state(never)).processes, 0)
  })

  test('knows that an agent has ended by itself, and what it took', async () => {
    const { machineId, guest } = await ground.running()
    await ground.door.run(machineId, 'i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done')
    const { cpuSeconds } = await guest.state(never)
    assert.ok(cpuSeconds > 0)
    // Whoever runs the script goes with it.
    void ground.door.run(machineId, 'kill -9 $PPID').catch(() => undefined)
    let state = await guest.state(never)
    for (let looks = 0; state.agent === 'running' || state.processes > 0; looks++) {
      assert.ok(looks < 10_000)
      state = await guest.state(never)
    }
    assert.ok(state.cpuSeconds >= cpuSeconds)
  })

  test('goes on without its Hub, and is there for the next one', async () => {
    const own = await Ground.open()
    try {
      const { machineId, guest, vm } = await own.running()
      const before = await guest.state(never)
      await own.closeGate()
      await assert.rejects(guest.state(never), { code: 'substrate.unavailable', retryable: true })
      // The agent's connections are closed, not left to wait.
      assert.match(await ofAgent(join(vm.run, 'hub.sock')), /ECONNRESET|EPIPE|socket hang up/)
      await own.openGate()
      const again = await own.linked(machineId)
      const after = await again.state(never)
      assert.deepEqual([after.boot, after.life, after.agent], [before.boot, before.life, 'running'])
      assert.equal((await own.door.run(machineId, 'echo here')).output.toString(), 'here\n')
      assert.equal(own.gate.current(machineId), again)
    } finally {
      await own.close()
    }
  })

  test('is the same after its own restart within a boot, and its agent has ended with it', async () => {
    const { machineId, vm, guest } = await ground.running()
    const before = await guest.state(never)
    await vm.end('SIGKILL')
    vm.boot()
    const again = await next(machineId, guest)
    const after = await again.state(never)
    assert.deepEqual([after.boot, after.agent, after.processes], [before.boot, 'stopped', 0])
    assert.ok(after.upMs >= before.upMs)
    await ground.start({ machineId, guest: again })
    assert.notEqual((await again.state(never)).life, before.life)
  })

  test('whose disk was cloned becomes another with another invitation, and the first keeps its link', async () => {
    const { machineId, vm, guest } = await ground.running()
    await ground.door.run(machineId, 'echo kept >project/file')
    const id = newCheckpoint()
    await guest.freeze(id, never)
    const clone = await ground.cloneOf(vm)
    const other = newMachine()
    await clone.insert(await ground.gate.invite(other))
    clone.boot()
    const forked = await ground.linked(other)
    assert.deepEqual((await forked.state(never)).frozen, [id])
    assert.deepEqual(await treeOf(forked, id), await treeOf(guest, id))
    await forked.rollBack(id, never)
    await ground.start({ machineId: other, guest: forked })
    assert.equal((await ground.door.run(other, 'cat project/file')).output.toString(), 'kept\n')
    assert.equal(ground.gate.current(machineId), guest)
    assert.equal((await guest.state(never)).agent, 'running')
    const [mine, its] = await Promise.all([vm, clone].map(({ state }) => readFile(join(state, 'identity.json'), 'utf8')))
    assert.ok(!its?.includes((JSON.parse(mine ?? '') as { registered: { token: string } }).registered.token))
  })

  test('is forgotten: its link ends, and nothing that it has lets it in again', async () => {
    const { machineId, vm, guest } = await ground.running()
    const { registered } = JSON.parse(await readFile(join(vm.state, 'identity.json'), 'utf8')) as { registered: { token: string } }
    await ground.gate.forget(machineId)
    await ground.gate.forget(machineId)
    assert.equal(ground.gate.current(machineId), null)
    await assert.rejects(guest.state(never), { code: 'substrate.unavailable' })
    for (const wants of ['link', 'door'] as const) {
      const { welcome } = await hello(ground.gate.port, { wants, version: 1, token: registered.token })
      assert.deepEqual(welcome, { is: 'refused' })
    }
    await assert.rejects(ground.gate.linked(machineId, 100, never), { code: 'substrate.unavailable' })
  })

  test('has one link for its machine: a newer one takes the place of the older', async () => {
    const machineId = newMachine()
    const token = await register(ground.gate.port, await ground.gate.invite(machineId))
    const first = await hello(ground.gate.port, { wants: 'link', version: 1, token })
    await ground.linked(machineId)
    const ended = new Promise((resolve) => first.socket.once('close', resolve))
    first.socket.resume()
    await hello(ground.gate.port, { wants: 'link', version: 1, token })
    await ended
    assert.notEqual(ground.gate.current(machineId), null)
  })

  test('its door keeps each way open until it ends by itself', async () => {
    const { machineId, vm } = await ground.machine()
    const path = join(ground.folder, 'hub/gate/doors', `${machineId}.sock`)
    await ground.door.close(machineId)
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      void text(socket).then((said) => socket.end(`heard ${said}`))
    })
    await new Promise<void>((resolve) => server.listen(path, resolve))
    const socket = connect({ path: join(vm.run, 'hub.sock'), allowHalfOpen: true })
    socket.end('all of it')
    assert.equal(await text(socket), 'heard all of it')
    server.close()
  })

  async function next(machineId: Parameters<typeof ground.linked>[0], before: Guest): Promise<Guest> {
    // The gate learns of the end a moment later.
    while (ground.gate.current(machineId) === before) await before.state(never).catch(() => undefined)
    return ground.linked(machineId)
  }
})

/** What an agent's request meets. */
function ofAgent(socketPath: string): Promise<string> {
  return new Promise((resolve) => {
    request({ socketPath, path: '/' }, (answer) => resolve(String(answer.statusCode)))
      .once('error', (error) => resolve(String(error)))
      .end()
  })
}

async function* tarOf(guest: Guest, id: CheckpointId): AsyncGenerator<Uint8Array, void> {
  for await (const change of guest.changes(id, null, never)) {
    if (change.kind !== 'put') continue
    const { path, type, mode, size, mtime_ms, link_target } = change.entry
    const target = link_target === null ? null : decodePath(link_target)
    yield tarHeader({ path: decodePath(path), type, mode, size: type === 'file' ? size : 0, mtimeMs: mtime_ms, target })
    if (type !== 'file') continue
    for await (const chunk of change.open()) yield chunk as Uint8Array
    yield tarPadding(size)
  }
  yield tarEnd()
}

suite('what the Hub keeps of guests', () => {
  test('holds no secret, and is good for the next Hub', async (t) => {
    const ground = await Ground.open()
    t.after(() => ground.close())
    const machineId = newMachine()
    const invitation = await ground.gate.invite(machineId)
    await ground.closeGate()
    await ground.openGate()
    const token = await register(ground.gate.port, invitation)
    await ground.closeGate()
    await ground.openGate()
    assert.equal((await hello(ground.gate.port, { wants: 'link', version: 1, token })).welcome?.is, 'linked')
    const { db } = ground.database
    const rows = JSON.stringify([await db.selectFrom('gate').selectAll().execute(), await db.selectFrom('gate_admissions').selectAll().execute()])
    const secrets = [token, invitation.split('~')[3] ?? ''].map((whole) => whole.split('.')[1] ?? '-')
    for (const secret of secrets) assert.ok(!rows.includes(secret))
    const folder = join(ground.folder, 'hub/gate')
    for (const name of await readdir(folder, { recursive: true })) {
      const file = await stat(join(folder, name))
      assert.equal(file.mode & (file.isFile() ? 0o077 : 0), 0, name)
      if (!file.isFile()) continue
      const content = await readFile(join(folder, name), 'latin1')
      for (const secret of secrets) assert.ok(!content.includes(secret), name)
    }
  })
})
