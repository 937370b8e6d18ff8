/** What errors on the way mean, made by real sockets where they can be. */
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, it } from 'node:test'
import { Agent, request } from 'undici'
import { describeFailure, saysDown, wasNeverSent } from './upstream-failures.ts'

const failureOf = (dispatcher: Agent, url: string, headers = {}): Promise<Error> =>
  request(url, { dispatcher, headers }).then(
    () => assert.fail('it was answered'),
    (error: Error) => error,
  )

describe('an error on the way to a provider', () => {
  it('is named after the time-out that ended it', async () => {
    const silent = createServer((_, res) => void res.socket)
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
    const dispatcher = new Agent({ headersTimeout: 1 })
    const late = await failureOf(dispatcher, `http://127.0.0.1:${(silent.address() as AddressInfo).port}`)
    assert.match(describeFailure(late), /^no first byte within 600 s, UND_ERR_HEADERS_TIMEOUT$/)
    // It was sent, so it may be billed; a whole message may take longer than a stream's first byte.
    assert.deepEqual([wasNeverSent(late), saysDown(late, true), saysDown(late, false)], [false, true, false])
    await dispatcher.destroy()
    silent.closeAllConnections()
    silent.close()
    const named = (code: string) => describeFailure(Object.assign(new Error('x'), { code }))
    assert.match(named('UND_ERR_CONNECT_TIMEOUT'), /^no connection within 5 s/)
    assert.match(named('UND_ERR_BODY_TIMEOUT'), /^silent in the middle of an answer for 300 s/)
    assert.equal(named('ECONNRESET'), 'ECONNRESET')
  })

  it('says that nobody is there when no address can be connected to, and not when a caller sends what cannot be written', async () => {
    const dispatcher = new Agent()
    for (const url of ['http://127.0.0.1:1', 'http://no-such-host.invalid']) {
      const refused = await failureOf(dispatcher, url)
      assert.deepEqual([wasNeverSent(refused), saysDown(refused, false)], [true, true], describeFailure(refused))
    }
    const unwritable = await failureOf(dispatcher, 'http://127.0.0.1:1', { 'x-bad': 'a\nb' })
    assert.deepEqual([wasNeverSent(unwritable), saysDown(unwritable, true)], [true, false])
    const each = Object.assign(new Error('x'), { code: 'ETIMEDOUT', syscall: 'connect' })
    assert.equal(wasNeverSent(Object.assign(new AggregateError([each, each]), { code: 'ETIMEDOUT' })), true)
    assert.equal(wasNeverSent(Object.assign(new Error('x'), { code: 'ETIMEDOUT', syscall: 'read' })), false)
    await dispatcher.destroy()
  })
})
