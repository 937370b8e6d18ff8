/** The seccomp program that answers what the rules say; what bubblewrap and the Landlock helper are handed. */
import { assemble, DATA, type Instruction } from './bpf.ts'
import { ERRNO, type Rule, rulesFor, type Surroundings } from './rules.ts'
import { type Architecture, AUDIT_ARCHITECTURE, NEWEST_JUDGED, numberOf, X32_BIT } from './syscalls.ts'

/** SECCOMP_RET_*: what the kernel does with the call. The lower 16 bits of an error are its number. */
export const RETURN = { allow: 0x7fff0000, killProcess: 0x80000000, errno: (number: number): number => 0x00050000 | number } as const

/** syscall(-1): what a tracer leaves of a call that it has answered itself. */
const NO_CALL = 0xffffffff

/** The bytes of the filter for machines with these surroundings. */
export const seccompFilter = (surroundings: Surroundings, architecture: Architecture): Buffer => assemble(programOf(rulesFor(surroundings), architecture))

function programOf(rules: readonly Rule[], architecture: Architecture): Instruction[] {
  return [
    { op: 'load', offset: DATA.architecture },
    // Another architecture has other numbers for the same calls, so no rule would hold.
    { op: 'jump-if', test: '==', value: AUDIT_ARCHITECTURE[architecture], yes: 'number', no: 'next' },
    { op: 'return', value: RETURN.killProcess },
    { op: 'label', name: 'number' },
    { op: 'load', offset: DATA.number },
    { op: 'jump-if', test: '>=', value: NEWEST_JUDGED + 1, yes: 'next', no: 'rules' },
    { op: 'jump-if', test: '==', value: NO_CALL, yes: 'unknown', no: 'next' },
    { op: 'jump-if', test: '>=', value: X32_BIT, yes: 'next', no: 'unknown' },
    { op: 'return', value: RETURN.killProcess },
    { op: 'label', name: 'unknown' },
    // A call that nobody has weighed yet is as on an older kernel: not there.
    { op: 'return', value: RETURN.errno(ERRNO.ENOSYS) },
    { op: 'label', name: 'rules' },
    ...rules.flatMap((rule, index) => rule.calls.flatMap((call) => refusalOf(rule, numberOf(call, architecture), `${index}-${call}`))),
    { op: 'return', value: RETURN.allow },
  ]
}

/** Begins and ends with the number of the call in A. */
function refusalOf({ when, refusal }: Rule, number: number | null, name: string): Instruction[] {
  if (number === null) return []
  const refuse: Instruction = { op: 'return', value: RETURN.errno(ERRNO[refusal]) }
  const past = `${name}-past`
  const begin: Instruction = { op: 'jump-if', test: '==', value: number, yes: 'next', no: past }
  if (when === undefined) return [begin, refuse, { op: 'label', name: past }]
  const conditions = when.flatMap(({ argument, mask, is, values }, index): Instruction[] => {
    const met = `${name}-met-${index}`
    const found = is === 'one of' ? met : past
    return [
      { op: 'load', offset: DATA.argumentLow(argument) },
      ...(mask === undefined ? [] : [{ op: 'and', value: mask } as const]),
      ...values.map((value): Instruction => ({ op: 'jump-if', test: '==', value, yes: found, no: 'next' })),
      { op: 'jump', to: is === 'one of' ? past : met },
      { op: 'label', name: met },
    ]
  })
  return [begin, ...conditions, refuse, { op: 'label', name: past }, { op: 'load', offset: DATA.number }]
}
