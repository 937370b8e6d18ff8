/** Runs a classic BPF program as the kernel would, for tests of our filters: any code that we do not make is an error. */
import { CODE, INSTRUCTION_BYTES } from './bpf.ts'

/** struct seccomp_data. */
export interface SeccompData {
  readonly number: number
  readonly architecture: number
  readonly arguments: readonly bigint[]
}

/** The value that the program returns. */
export function interpret(program: Buffer, data: SeccompData): number {
  const words = Buffer.alloc(64)
  words.writeUInt32LE(data.number >>> 0, 0)
  words.writeUInt32LE(data.architecture >>> 0, 4)
  for (const [index, argument] of data.arguments.entries()) words.writeBigUInt64LE(BigInt.asUintN(64, argument), 16 + 8 * index)
  let accumulator = 0
  for (let at = 0; at < program.length; at += INSTRUCTION_BYTES) {
    const [code, jt, jf, k] = [program.readUInt16LE(at), program.readUInt8(at + 2), program.readUInt8(at + 3), program.readUInt32LE(at + 4)]
    if (code === CODE.load) accumulator = words.readUInt32LE(k)
    else if (code === CODE.and) accumulator = (accumulator & k) >>> 0
    else if (code === CODE.jump) at += k * INSTRUCTION_BYTES
    else if (code === CODE['==']) at += (accumulator === k ? jt : jf) * INSTRUCTION_BYTES
    else if (code === CODE['>=']) at += (accumulator >= k ? jt : jf) * INSTRUCTION_BYTES
    else if (code === CODE.return) return k
    else throw new TypeError(`an instruction ${code} is none of ours`)
  }
  throw new TypeError('the program ran off its end')
}
