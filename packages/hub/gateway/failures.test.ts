/** Calls that go wrong on the way: what is charged when the provider breaks off, the client leaves, or figures are missing. */
import assert from 'node:assert/strict'
import { after, describe, it } from 'node:test'
import { ask, INPUT, OUTPUT, USD } from './test-calls.ts'
import { deltaEvent, openStream, openTestGateway, sendJson, startEvent, stopEvent, textEvent, usageOf } from './testing.ts'

const hub = await openTestGateway()
after(() => hub.closeAll())

describe('a call that goes wrong on the way', () => {
  it('is charged at its exact input and all the output it may have made when the upstream breaks off, and the client is told', async () => {
    hub.answerWith((_, res) => {
      openStream(res).write(startEvent(usageOf(100, 1)))
      res.write(textEvent('half').slice(0, 40), () => res.destroy())
    })
    const machine = await hub.machine(USD)
    const text = await (await machine.call(ask({ stream: true }))).text()
    assert.match(text, /\n\nevent: error\ndata: .*"api_error"/)
    assert.deepEqual(await machine.budget(), { limit: USD, settled: 100n * INPUT + 1000n * OUTPUT, reserved: 0n })
    assert.equal((await machine.usage())[0]?.quality, 'estimated')
  })

  it('is charged in full when the answer carries no figures, or none comes after the request was sent', async () => {
    for (const answer of [
      (res: Parameters<typeof sendJson>[0]) => sendJson(res, { type: 'message', id: 'msg_2' }),
      (res: Parameters<typeof sendJson>[0]) => void res.socket?.destroy(),
      (res: Parameters<typeof sendJson>[0]) => void openStream(res).end(textEvent('no figures')),
    ]) {
      const machine = await hub.machine(USD)
      let held = 0n
      hub.answerWith(async (_, res) => {
        held = (await machine.budget()).reserved
        answer(res)
      })
      await (await machine.call(ask())).text()
      assert.ok(held > 0n)
      assert.deepEqual(await machine.budget(), { limit: USD, settled: held, reserved: 0n })
      assert.equal((await machine.usage())[0]?.quality, 'estimated')
    }
  })

  it('is charged exactly when the client leaves and the upstream ends in time', async () => {
    const leave = new AbortController()
    hub.answerWith(async (_, res) => {
      openStream(res).write(startEvent(usageOf(100, 1)))
      leave.abort()
      await machine.answered()
      res.end(deltaEvent({ output_tokens: 33 }) + stopEvent())
    })
    const machine = await hub.machine(USD)
    await assert.rejects(async () => (await machine.call(ask({ stream: true }), { signal: leave.signal })).text())
    await machine.settled()
    assert.deepEqual(await machine.budget(), { limit: USD, settled: 100n * INPUT + 33n * OUTPUT, reserved: 0n })
    assert.equal((await machine.usage())[0]?.quality, 'measured')
  })
})
