import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { CreateExec, EXEC_LIMITS, ExecNews } from './exec.ts'
import { EXEC_STREAMS, ExecWindow, packExecData, unpackExecData } from './exec-frames.ts'

const bytes = fc.uint8Array({ minLength: 1, maxLength: 2000 })

test('what is packed comes out as it went in, whatever its bytes', () => {
  fc.assert(
    fc.property(fc.constantFrom(...EXEC_STREAMS), bytes, (stream, data) => {
      const out = unpackExecData(packExecData(stream, data))
      assert.deepEqual([out?.stream, [...(out?.bytes ?? [])]], [stream, [...data]])
    }),
  )
})

test('a frame of another form is none: empty, of no stream, too large', () => {
  assert.equal(unpackExecData(new Uint8Array()), undefined)
  assert.equal(unpackExecData(new Uint8Array([1])), undefined)
  assert.equal(unpackExecData(new Uint8Array([3, 1])), undefined)
  assert.equal(unpackExecData(new Uint8Array(EXEC_LIMITS.dataBytes + 2)), undefined)
  assert.equal(unpackExecData(new Uint8Array(EXEC_LIMITS.dataBytes + 1))?.bytes.length, EXEC_LIMITS.dataBytes)
  assert.throws(() => packExecData('stdin', new Uint8Array()), RangeError)
  assert.throws(() => packExecData('stdin', new Uint8Array(EXEC_LIMITS.dataBytes + 1)), RangeError)
})

test('a window never lets more go than was granted, and never grants more than was sent', () => {
  const steps = fc.array(fc.record({ kind: fc.constantFrom('spend', 'grant'), size: fc.integer({ min: 1, max: EXEC_LIMITS.windowBytes }) }), { maxLength: 200 })
  fc.assert(
    fc.property(steps, (all) => {
      const window = new ExecWindow()
      let underWay = 0
      for (const { kind, size } of all) {
        const went = kind === 'spend' ? window.spend(size) : window.grant(size)
        const after = underWay + (kind === 'spend' ? size : -size)
        assert.equal(went, after >= 0 && after <= EXEC_LIMITS.windowBytes)
        if (went) underWay = after
        assert.equal(window.free, EXEC_LIMITS.windowBytes - underWay)
      }
    }),
  )
})

test('whoever waits for a full window goes on with the next grant, or with its end', async () => {
  const window = new ExecWindow()
  window.spend(EXEC_LIMITS.windowBytes)
  let went = false
  const waiting = window.untilFree().then(() => {
    went = true
  })
  await Promise.resolve()
  assert.equal(went, false)
  window.grant(1)
  await waiting
  window.spend(1)
  const last = window.untilFree()
  window.close()
  await last
  assert.equal(window.free, 0)
})

test('a request has defaults, and bounds on the command, its variables and its terminal', () => {
  assert.deepEqual(CreateExec.parse({}), { command: [], tty: false, stdin: false, cwd: null, env: {}, size: null })
  const refused: Partial<Record<keyof CreateExec, unknown>>[] = [
    { command: ['a\0b'] },
    { command: ['x'.repeat(EXEC_LIMITS.commandBytes + 1)] },
    { command: ['é'.repeat(EXEC_LIMITS.commandBytes / 2 + 1)] },
    { env: { 'A B': '1' } },
    { env: { '': '1' } },
    { env: { A: 'x'.repeat(EXEC_LIMITS.envBytes) } },
    { env: { A: '\0' } },
    { cwd: '' },
    { cwd: '/a\0' },
    { size: { rows: 0, cols: 80 } },
  ]
  for (const request of refused) assert.equal(CreateExec.safeParse(request).success, false, JSON.stringify(request).slice(0, 60))
})

test('the end of a command has an exit code of one byte and a signal by name', () => {
  assert.ok(ExecNews.safeParse({ type: 'exit', exit_code: 137, signal: 'SIGKILL' }).success)
  for (const wrong of [
    { exit_code: 256, signal: null },
    { exit_code: -1, signal: null },
    { exit_code: 0, signal: '\u001b[31m' },
  ])
    assert.equal(ExecNews.safeParse({ type: 'exit', ...wrong }).success, false)
})
