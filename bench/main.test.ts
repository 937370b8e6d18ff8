import { deepEqual, equal, match } from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'node:test'

const bench = (...args: string[]) => spawnSync(process.execPath, [join(import.meta.dirname, 'main.ts'), ...args], { encoding: 'utf8' })

const NAMES = ['start', 'spawn', 'api', 'demo', 'gateway', 'checkpoints', 'proxmox']
const listed = (text: string): string[] => [...text.matchAll(/^ {2}(\S+) {2,}\S/gm)].map(([, name = '']) => name)

test('without a name the benches are listed with what they measure', () => {
  const { status, stdout } = bench()
  equal(status, 0)
  deepEqual(listed(stdout), NAMES)
})

test('a name that is no bench gets the list on standard error and exit code 2', () => {
  for (const name of ['nope', 'constructor']) {
    const { status, stdout, stderr } = bench(name, '--json')
    equal(status, 2, stderr)
    equal(stdout, '')
    deepEqual(listed(stderr), NAMES)
  }
})

test('an unknown flag and a second name are refused with the list', () => {
  for (const args of [
    ['start', '--fast'],
    ['start', 'spawn'],
  ]) {
    const { status, stderr } = bench(...args)
    equal(status, 2)
    match(stderr, /npm run bench -- NAME/)
  }
})
