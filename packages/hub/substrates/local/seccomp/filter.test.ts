import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { assemble } from './bpf.ts'
import { RETURN, seccompFilter } from './filter.ts'
import { interpret } from './interpreter.ts'
import { type Condition, ERRNO, rulesFor, type Surroundings } from './rules.ts'
import { ARCHITECTURES, type Architecture, AUDIT_ARCHITECTURE, NEWEST_JUDGED, numberOf, SYSCALLS, type Syscall } from './syscalls.ts'

const SURROUNDINGS: readonly Surroundings[] = ['namespaced', 'shared']
const names = Object.keys(SYSCALLS) as Syscall[]
const none = [0n, 0n, 0n, 0n, 0n, 0n]

/** The answer by the table alone, told without any jumps. */
function expected(surroundings: Surroundings, architecture: Architecture, number: number, args: readonly bigint[]): number {
  if (number === 0xffffffff) return RETURN.errno(ERRNO.ENOSYS)
  if (number >= 0x40000000) return RETURN.killProcess
  if (number > NEWEST_JUDGED) return RETURN.errno(ERRNO.ENOSYS)
  const holds = ({ argument, mask = 0xffffffff, is, values }: Condition): boolean =>
    values.map(BigInt).includes((args[argument] ?? 0n) & BigInt(mask)) === (is === 'one of')
  const rule = rulesFor(surroundings).find(
    ({ calls, when = [] }) => calls.some((call) => numberOf(call, architecture) === number) && when.every((condition) => holds(condition)),
  )
  return rule === undefined ? RETURN.allow : RETURN.errno(ERRNO[rule.refusal])
}

for (const surroundings of SURROUNDINGS) {
  for (const architecture of ARCHITECTURES) {
    const program = seccompFilter(surroundings, architecture)
    const answer = (number: number, args: readonly bigint[] = none, arch = AUDIT_ARCHITECTURE[architecture]): number =>
      interpret(program, { number, architecture: arch, arguments: args })
    const call = (name: Syscall, ...args: readonly number[]): number =>
      answer(numberOf(name, architecture) ?? assert.fail(`${name} on ${architecture}`), [...args.map(BigInt), ...none].slice(0, 6))

    test(`the filter for ${surroundings} machines on ${architecture} answers what the table says for any call`, () => {
      const interesting = rulesFor(surroundings).flatMap(({ when = [] }) => when.flatMap(({ values, mask = 0 }) => [...values, mask]))
      const low = fc.oneof(
        fc.constantFrom(...interesting.map((value) => value >>> 0)),
        fc.integer({ min: 0, max: 0xffffffff }),
        fc.integer({ min: 0, max: 64 }),
      )
      const argument = fc
        .tuple(fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 0xffffffff })), low)
        .map(([high, word]) => (BigInt(high) << 32n) | BigInt(word))
      const number = fc.oneof(
        fc.constantFrom(...names.map((name) => numberOf(name, architecture) ?? 0)),
        fc.integer({ min: 0, max: 600 }),
        fc.integer({ min: 0, max: 0xffffffff }),
        fc.integer({ min: 0x40000000, max: 0x40000400 }),
        fc.constant(0xffffffff),
      )
      fc.assert(
        fc.property(number, fc.array(argument, { minLength: 6, maxLength: 6 }), (nr, args) => {
          assert.equal(answer(nr, args), expected(surroundings, architecture, nr, args), `${nr} ${args.join(' ')}`)
        }),
        { numRuns: 20_000 },
      )
    })

    test(`any other architecture ends the process beneath the filter for ${surroundings} machines on ${architecture}`, () => {
      fc.assert(
        fc.property(fc.integer({ min: 0, max: 0xffffffff }), fc.integer({ min: 0, max: 600 }), (arch, nr) => {
          fc.pre(arch !== AUDIT_ARCHITECTURE[architecture])
          assert.equal(answer(nr, none, arch), RETURN.killProcess)
        }),
      )
    })

    test(`every rule refuses something in ${surroundings} machines on ${architecture}, and what programs live from is allowed`, () => {
      for (const { calls, when, refusal, reason } of rulesFor(surroundings)) {
        assert.ok(reason.length > 5)
        const known = calls.map((name) => numberOf(name, architecture)).filter((nr) => nr !== null)
        if (when === undefined) for (const nr of known) assert.equal(answer(nr), RETURN.errno(ERRNO[refusal]))
      }
      const [eperm, enosys] = [RETURN.errno(1), RETURN.errno(38)]
      assert.equal(call('clone', 0x1200011), RETURN.allow, 'fork')
      assert.equal(call('clone', 0x3d0f00), RETURN.allow, 'a thread')
      assert.equal(call('clone', 0x10000011), eperm)
      assert.equal(call('unshare', 0x400), RETURN.allow)
      assert.equal(call('unshare', 0x80), eperm)
      assert.equal(call('clone3'), enosys)
      assert.equal(call('ioctl', 0, 0x5401), RETURN.allow)
      assert.equal(call('ioctl', 0, 0x5412), eperm)
      assert.equal(answer(numberOf('ioctl', architecture) ?? 0, [0n, 0xdead00005412n, 0n, 0n, 0n, 0n]), eperm, 'the kernel drops the high half')
      assert.equal(call('mknodat', 0, 0, 0o10644), RETURN.allow, 'a pipe')
      assert.equal(call('mknodat', 0, 0, 0o60644), eperm)
      assert.equal(call('personality', 0xffffffff), RETURN.allow)
      assert.equal(call('personality', 0x400000), eperm, 'READ_IMPLIES_EXEC')
      assert.equal(call('socket', 1, 0x80801), RETURN.allow)
      assert.equal(call('socket', 2, 1), surroundings === 'namespaced' ? RETURN.allow : eperm)
      assert.equal(call('socket', 10, 2), surroundings === 'namespaced' ? RETURN.allow : eperm)
      assert.equal(call('socket', 16, 3, 0), RETURN.allow)
      assert.equal(call('socket', 16, 3, 12), eperm, 'netfilter')
      for (const family of [0, 3, 15, 17, 21, 30, 31, 38, 40, 44]) assert.equal(call('socket', family, 1), eperm, String(family))
      assert.equal(call('ptrace'), surroundings === 'namespaced' ? RETURN.allow : eperm)
      for (const nr of [0, 1, 2, 3, 56 + 3, 202, 434, 444])
        if (!names.some((name) => numberOf(name, architecture) === nr)) assert.equal(answer(nr), RETURN.allow)
    })
  }
}

test('no call stands twice in the table of an architecture', () => {
  for (const architecture of ARCHITECTURES) {
    const numbers = names.map((name) => numberOf(name, architecture)).filter((nr) => nr !== null)
    assert.equal(new Set(numbers).size, numbers.length)
  }
})

test('a program with a jump backwards, too far or nowhere is not assembled', () => {
  const end = { op: 'return', value: 0 } as const
  assert.throws(() => assemble([]))
  assert.throws(() => assemble([{ op: 'jump', to: 'away' }, end]))
  assert.throws(() => assemble([{ op: 'label', name: 'here' }, { op: 'jump', to: 'here' }, end]))
  assert.throws(() => assemble([end, { op: 'label', name: 'twice' }, { op: 'label', name: 'twice' }, end]))
  const far = Array.from({ length: 256 }, () => end)
  assert.throws(() => assemble([{ op: 'jump-if', test: '==', value: 0, yes: 'far', no: 'next' }, ...far, { op: 'label', name: 'far' }, end]))
  assert.equal(assemble([{ op: 'jump', to: 'far' }, ...far, { op: 'label', name: 'far' }, end]).length, 8 * 258)
})
