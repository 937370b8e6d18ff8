/** Attempts on the network. The Hub's process, listeners at every address that is tried, and the machine all live in one network namespace that this test makes: no packet leaves it. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { NETWORK_ATTEMPTS, PLACES } from './network-attempts.ts'
import { asRoot, type Ended, refused } from './stage.ts'

const DRIVER = fileURLToPath(new URL('network-driver.ts', import.meta.url))
const addresses = PLACES.filter(({ address }) => address !== '127.0.0.1' && address !== '::1' && address !== '127.0.0.53')
const SETUP = ['ip link set lo up', ...addresses.map(({ address }) => `ip addr add ${address}/${address.includes(':') ? 128 : 32} dev lo`), 'exec "$@"'].join(
  ' && ',
)

describe('the network around a machine', {
  skip: asRoot ? false : 'an ordinary user has no network namespace but as the root of a user namespace, and there the Hub is no ordinary user',
}, () => {
  const ran = spawnSync('unshare', ['-n', 'sh', '-c', SETUP, 'sh', process.execPath, DRIVER], { encoding: 'utf8', timeout: 120_000 })
  const results = ran.status === 0 ? (JSON.parse(ran.stdout) as { outside: Ended; inside: Ended }[]) : []

  test('has been tried from outside and from inside', () => {
    assert.equal(ran.status, 0, ran.stderr)
    assert.equal(results.length, NETWORK_ATTEMPTS.length)
  })
  for (const [index, { name, hostMayRefuse }] of NETWORK_ATTEMPTS.entries()) {
    test(name, (t) => {
      const result = results[index]
      assert.ok(result, 'it was not tried')
      if (result.outside.code === 1 && hostMayRefuse) return t.skip(`the host refuses it too: ${result.outside.said}`)
      assert.equal(result.outside.code, 0, `it does not even succeed outside: ${result.outside.said}`)
      refused(t, result.inside)
    })
  }
})
