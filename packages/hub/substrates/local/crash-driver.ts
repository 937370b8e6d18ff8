/** A Hub's hands for the crash test: works on one machine without end until it is killed, saying before and after each call what it does. */
import type { CheckpointId, MachineId } from '@autovibe/contract'
import { systemRuntime } from '../../runtime.ts'
import { createLocalSubstrate } from './create-local-substrate.ts'
import type { LocalSubstrateOptions } from './host.ts'

const [machineId, options, isWarm] = JSON.parse(process.argv[2] ?? '') as [MachineId, Omit<LocalSubstrateOptions, 'door' | 'logger'>, boolean]
const signal = new AbortController().signal
const say = (line: object): boolean => process.stdout.write(`${JSON.stringify(line)}\n`)

const substrate = await createLocalSubstrate({
  ...options,
  door: { listen: async () => undefined, close: async () => undefined },
  logger: { info: () => undefined, warn: (fields, message) => say({ warning: message, fields }) },
})
say({ ready: true })
for (let last: CheckpointId | null = null; ; ) {
  await substrate.create({ machineId, name: 'crash', from: null, token: 'token' }, signal)
  if (isWarm) await substrate.warm(1)
  await substrate.start(machineId, signal)
  const checkpointId = systemRuntime.newId('checkpoint')
  say({ asked: checkpointId })
  await substrate.snapshot(machineId, checkpointId, signal)
  say({ taken: checkpointId })
  if (last !== null) {
    await substrate.stop(machineId, signal)
    await substrate.rollback(machineId, checkpointId, signal)
  }
  last = checkpointId
}
