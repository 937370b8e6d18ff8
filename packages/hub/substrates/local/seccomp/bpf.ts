/** A tiny assembler for classic BPF, as much of it as a seccomp filter needs (linux/filter.h, linux/bpf_common.h, linux/seccomp.h). */

/** Where to go on: a label further down, or the next instruction. */
type Target = string | 'next'

export type Instruction =
  /** A := the word at this offset of struct seccomp_data. */
  | { readonly op: 'load'; readonly offset: number }
  /** A := A & value. */
  | { readonly op: 'and'; readonly value: number }
  /** Compares A, unsigned. */
  | { readonly op: 'jump-if'; readonly test: '==' | '>='; readonly value: number; readonly yes: Target; readonly no: Target }
  | { readonly op: 'jump'; readonly to: string }
  | { readonly op: 'return'; readonly value: number }
  | { readonly op: 'label'; readonly name: string }

/** Offsets in struct seccomp_data. Both architectures that we know are little-endian, so the low word of an argument comes first. */
export const DATA = { number: 0, architecture: 4, argumentLow: (index: number): number => 16 + 8 * index } as const

/** BPF_LD|BPF_W|BPF_ABS and so on; the only five forms that are made. */
export const CODE = { load: 0x20, and: 0x54, jump: 0x05, '==': 0x15, '>=': 0x35, return: 0x06 } as const

/** sizeof(struct sock_filter): u16 code, u8 jt, u8 jf, u32 k. */
export const INSTRUCTION_BYTES = 8
/** BPF_MAXINSNS; the kernel refuses more. */
const MAX_INSTRUCTIONS = 4096
/** Conditional jumps are counted in one byte. */
const MAX_JUMP = 255

/** The bytes of an array of struct sock_filter. Throws when a jump leads backwards, too far, or nowhere: such a program is our mistake. */
export function assemble(program: readonly Instruction[]): Buffer {
  const labels = new Map<string, number>()
  let length = 0
  for (const instruction of program) {
    if (instruction.op !== 'label') length += 1
    else if (labels.has(instruction.name)) throw new TypeError(`the label ${instruction.name} stands twice`)
    else labels.set(instruction.name, length)
  }
  if (length === 0 || length > MAX_INSTRUCTIONS) throw new TypeError(`a filter of ${length} instructions`)
  const bytes = Buffer.alloc(length * INSTRUCTION_BYTES)
  let at = 0
  const distance = (target: Target, limit: number): number => {
    if (target === 'next') return 0
    const to = labels.get(target)
    if (to === undefined || to <= at || to >= length || to - at - 1 > limit) throw new TypeError(`no way from ${at} to the label ${target}`)
    return to - at - 1
  }
  const put = (code: number, jt: number, jf: number, k: number): void => {
    const offset = at * INSTRUCTION_BYTES
    bytes.writeUInt16LE(code, offset)
    bytes.writeUInt8(jt, offset + 2)
    bytes.writeUInt8(jf, offset + 3)
    bytes.writeUInt32LE(k >>> 0, offset + 4)
  }
  for (const instruction of program) {
    if (instruction.op === 'label') continue
    if (instruction.op === 'load') put(CODE.load, 0, 0, instruction.offset)
    else if (instruction.op === 'jump') put(CODE.jump, 0, 0, distance(instruction.to, MAX_INSTRUCTIONS))
    else if (instruction.op === 'jump-if')
      put(CODE[instruction.test], distance(instruction.yes, MAX_JUMP), distance(instruction.no, MAX_JUMP), instruction.value)
    else put(CODE[instruction.op], 0, 0, instruction.value)
    at += 1
  }
  return bytes
}
