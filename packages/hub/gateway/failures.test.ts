/** Calls that go wrong on the way: what is charged when the provider breaks off, the client leaves, or figures are missing. */
import assert from 'node:assert/strict'
import { after, describe, it } from 'node:test'
import { ask, INPUT, OUTPUT, USD } from './test-calls.ts'
import { deltaEvent, messageOf, openStream, openTestGateway, sendJson, startEvent, stopEvent, textEvent, usageOf } from './testing.ts'

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

  it('posts in full what an alias that answers as a dearer model has cost', async () => {
    hub.answerWith((_, res) => sendJson(res, messageOf(usageOf(100, 1000), { model: 'claude-fable-5' })))
    const machine = await hub.machine(USD)
    await (await machine.call(ask())).json()
    assert.equal((await machine.budget()).settled, 100n * 10_000n + 1000n * 50_000n)
    assert.equal((await machine.usage())[0]?.model, 'claude-fable-5')
  })

  it('does not grow memory for a client that reads slowly', async () => {
    const piece = textEvent('x'.repeat(64 * 1024))
    let written = 0
    hub.answerWith(async (seen, res) => {
      if (seen.body['stream'] !== true) return sendJson(res, messageOf(usageOf(1, 1)))
      openStream(res).write(startEvent(usageOf(1, 1)))
      for (let index = 0; index < 400; index++) {
        written++
        if (!res.write(piece) && !released) await Promise.race([new Promise((resolve) => res.once('drain', resolve)), stalled])
      }
      res.end(deltaEvent({ output_tokens: 5 }) + stopEvent())
    })
    let released = false
    let release = () => {}
    const stalled = new Promise<void>((resolve) => {
      release = resolve
    })
    const machine = await hub.machine(USD)
    const response = await machine.call(ask({ stream: true }))
    const reader = response.body?.getReader()
    assert.ok(reader)
    await reader.read()
    // Until nothing flows any more while whole calls of another machine come and go: 26 MB would have to be somewhere otherwise.
    const other = await hub.machine(USD)
    for (let before = -1; before !== written; ) {
      before = written
      for (let calls = 0; calls < 5; calls++) await (await other.call(ask())).json()
    }
    assert.ok(written < 300, `${written} of 400 pieces left the upstream`)
    released = true
    release()
    for (let next = await reader.read(); !next.done; next = await reader.read());
    await machine.settled()
    assert.equal((await machine.usage())[0]?.quality, 'measured')
  })
})
