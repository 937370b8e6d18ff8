/** Who is let in at the gate, and who is not. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { after, before, suite, test } from 'node:test'
import { createServer as createSecureServer } from 'node:tls'
import { decodeInvitation, encodeInvitation } from '@autovibe/contract'
import { newCertificate } from './certificate.ts'
import { Ground, newMachine } from './testing/ground.ts'
import { CLAIM, hello, rawConnection, register } from './testing/raw-peer.ts'

suite('an invitation', () => {
  let ground: Ground
  before(async () => {
    ground = await Ground.open({ limits: { unknownMostOfOne: 4, helloMs: 1500 } })
  })
  after(() => ground.close())

  const secretOf = (invitation: string): string => decodeInvitation(invitation)?.secret ?? ''
  const asked = async (secret: string, claim = CLAIM) => (await hello(ground.gate.port, { wants: 'register', version: 1, secret, claim })).welcome

  test('is short and plain, and names the gate', async () => {
    const text = await ground.gate.invite(newMachine())
    assert.match(text, /^[!-~]{1,200}$/)
    const invitation = decodeInvitation(text)
    assert.deepEqual([invitation?.address, invitation?.fingerprint], [ground.gate.address, ground.gate.fingerprint])
    for (const other of ['', text.replace('av1', 'av2'), `${text}~more`, text.slice(0, -20), `${text}${'x'.repeat(200)}`])
      assert.equal(decodeInvitation(other), null)
  })

  test('lets one guest in, which may ask again when its answer was lost', async () => {
    const invitation = await ground.gate.invite(newMachine())
    const first = await register(ground.gate.port, invitation)
    const second = await register(ground.gate.port, invitation)
    for (const token of [first, second]) assert.equal((await hello(ground.gate.port, { wants: 'link', version: 1, token })).welcome?.is, 'linked')
    assert.deepEqual(await asked(secretOf(invitation), 'd'.repeat(43)), { is: 'refused' })
  })

  test('is void once there is a newer one, but what it gave stays good', async () => {
    const machineId = newMachine()
    const first = await ground.gate.invite(machineId)
    const token = await register(ground.gate.port, first)
    const second = await ground.gate.invite(machineId)
    assert.deepEqual(await asked(secretOf(first)), { is: 'refused' })
    await register(ground.gate.port, second, 'e'.repeat(43))
    assert.equal((await hello(ground.gate.port, { wants: 'link', version: 1, token })).welcome?.is, 'linked')
  })

  test('of now gives tokens that are good beside its own secret alone, also after a newer invitation and in the next Hub', async () => {
    const machineId = newMachine()
    const first = secretOf(await ground.gate.invite(machineId))
    const given = await hello(ground.gate.port, { wants: 'register', version: 2, secret: first, claim: CLAIM })
    assert.equal(given.welcome?.is, 'registered')
    const token = given.welcome?.is === 'registered' ? given.welcome.token : ''
    const second = secretOf(await ground.gate.invite(machineId))
    for (let round = 0; round < 2; round++) {
      for (const [secret, is] of [
        [first, 'linked'],
        [second, 'refused'],
        [undefined, 'refused'],
      ] as const)
        assert.equal((await hello(ground.gate.port, { wants: 'link', version: 2, token, ...(secret === undefined ? {} : { secret }) })).welcome?.is, is)
      await ground.closeGate()
      await ground.openGate()
    }
  })

  test('of another machine, a forgotten one, or nobody is refused, and so is a token', async () => {
    const [one, other] = [newMachine(), newMachine()]
    const [ofOne, ofOther] = [await ground.gate.invite(one), await ground.gate.invite(other)]
    const mixed = `${secretOf(ofOne).split('.')[0]}.${secretOf(ofOther).split('.')[1]}`
    const token = await register(ground.gate.port, ofOne)
    await ground.gate.forget(one)
    for (const secret of [mixed, secretOf(ofOne), `${'0'.repeat(26)}.${'a'.repeat(32)}`]) assert.deepEqual(await asked(secret), { is: 'refused' })
    for (const wrong of [token, secretOf(ofOther)])
      for (const wants of ['link', 'door'] as const)
        assert.deepEqual((await hello(ground.gate.port, { wants, version: 1, token: wrong })).welcome, { is: 'refused' })
  })

  test('cannot be guessed by what is no hello at all', async () => {
    for (const says of ['', '{}', '[]', 'GET / HTTP/1.1', '{"wants":"link","version":1,"token":"../../etc/passwd"}', 'x'.repeat(5000)])
      assert.equal((await hello(ground.gate.port, says)).welcome, null, says.slice(0, 50))
  })

  test('is asked for within a time, and by few at once', async () => {
    const silent = await rawConnection(ground.gate.port)
    silent.resume()
    const bare = connect(ground.gate.port, '127.0.0.1').resume()
    bare.on('error', () => undefined)
    await Promise.all([once(silent, 'close'), once(bare, 'close')])
    const many = Array.from({ length: 12 }, () =>
      connect(ground.gate.port, '127.0.0.1')
        .on('error', () => undefined)
        .resume(),
    )
    let closed = 0
    const eight = new Promise<void>((resolve) => {
      for (const socket of many)
        socket.once('close', () => {
          closed += 1
          if (closed === 8) resolve()
        })
    })
    await eight
    for (const socket of many) socket.destroy()
    await Promise.all(many.map((socket) => (socket.closed ? undefined : once(socket, 'close'))))
    // The gate learns of each end a moment later.
    const invitation = await ground.gate.invite(newMachine())
    let token: string | null = null
    for (let attempts = 0; token === null; attempts++) {
      assert.ok(attempts < 1000)
      token = await register(ground.gate.port, invitation).catch(() => null)
    }
  })

  test('is told to nobody whose certificate is another', async (t) => {
    const { key, cert } = newCertificate(new Date())
    const heard: Buffer[] = []
    const server = createSecureServer({ key, cert }, (socket) => {
      socket.on('error', () => undefined).on('data', (chunk: Buffer) => heard.push(chunk))
    })
    server.on('tlsClientError', () => undefined)
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    t.after(() => server.close())
    const vm = ground.vm()
    const { port } = server.address() as { port: number }
    const genuine = decodeInvitation(await ground.gate.invite(newMachine()))
    assert.ok(genuine)
    await vm.insert(encodeInvitation({ ...genuine, address: `127.0.0.1:${port}` }))
    vm.boot()
    for (let rounds = 0; rounds < 3; rounds++) {
      const [socket] = (await once(server, 'connection')) as [Socket]
      if (!socket.closed) await once(socket, 'close')
      assert.ok(socket.bytesRead > 0)
    }
    await vm.end()
    assert.match(vm.said, /there is no link to the Hub/)
    assert.equal(Buffer.concat(heard).length, 0)
  })
})
