/** Requests that two readers would split differently: some reader finds a second request in them, the door answers none. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { openDoorGround } from '../../packages/hub/door/testing.ts'
import { CREDULOUS, say } from './wire.ts'

const ground = await openDoorGround()
after(() => ground.close())
const machine = await ground.registered()

const SMUGGLED = 'GET /smuggled HTTP/1.1\r\nHost: hub\r\n\r\n'
const head = (...lines: string[]): string =>
  ['POST /door/heartbeat HTTP/1.1', 'Host: hub', `Authorization: Bearer ${machine.token}`, 'Content-Type: application/json', ...lines, '', ''].join('\r\n')

const CASES: readonly (readonly [name: string, deceives: keyof typeof CREDULOUS, bytes: string])[] = [
  ['a length beside chunks (TE.CL)', 'the first length', `${head('Content-Length: 3', 'Transfer-Encoding: chunked')}1\r\n${SMUGGLED}0\r\n\r\n`],
  ['chunks beside a length (CL.TE)', 'chunks only', `${head(`Content-Length: ${5 + SMUGGLED.length}`, 'Transfer-Encoding: chunked')}0\r\n\r\n${SMUGGLED}`],
  ['two lengths, the first short', 'the first length', `${head('Content-Length: 0', `Content-Length: ${SMUGGLED.length}`)}${SMUGGLED}`],
  ['two lengths, the last short', 'the last length', `${head(`Content-Length: ${SMUGGLED.length}`, 'Content-Length: 0')}${SMUGGLED}`],
  ['a blank before the colon', 'the first length', `${head('Transfer-Encoding : chunked', 'Content-Length: 0')}${SMUGGLED}`],
  ['a folded header', 'the first length', `${head('X: y\r\n Transfer-Encoding: chunked', 'Content-Length: 0')}${SMUGGLED}`],
  ['bare line feeds', 'the first length', `${head('Content-Length: 0').replaceAll('\r\n', '\n')}${SMUGGLED}`],
  ['an encoding that only looks like chunks', 'chunks only', `${head('Transfer-Encoding: xchunked')}0\r\n\r\n${SMUGGLED}`],
  ['chunks hidden behind another encoding', 'chunks only', `${head('Transfer-Encoding: chunked, identity')}0\r\n\r\n${SMUGGLED}`],
  ['a chunk larger than any number', 'the first length', `${head('Transfer-Encoding: chunked')}FFFFFFFFFFFFFFFFF\r\n${SMUGGLED}`],
  ['a length with a sign', 'the first length', `${head('Content-Length: +0')}${SMUGGLED}`],
]

for (const [name, deceives, bytes] of CASES) {
  test(`${name} gives no second request`, async () => {
    assert.ok(
      CREDULOUS[deceives]?.(bytes).some((path) => path.includes('/smuggled')),
      `even who believes ${String(deceives)} is not deceived`,
    )
    const { statuses, text } = await say(machine.socketPath, bytes)
    assert.ok(!text.includes('no such place'), `it was heard: ${text}`)
    assert.deepEqual(
      statuses.filter((status) => status < 400),
      [],
      text,
    )
    assert.equal((await machine.ask('GET', '/instructions')).status, 200)
  })
}

test('a header may not bring a line of its own', async () => {
  const { statuses } = await say(machine.socketPath, head('Content-Length: 0', 'X: a\0b'))
  assert.deepEqual(statuses, [400])
})
