/** The life of a machine: the only place that knows which state allows what, and where each change leads. */
import { AutovibeError, type MachineState } from '@autovibe/contract'

interface Transition {
  readonly from: readonly MachineState[]
  readonly to: MachineState
}

const LIVING: readonly MachineState[] = ['requested', 'provisioning', 'booting', 'ready', 'running', 'paused', 'checkpointing', 'stopping', 'stopped', 'failed']
const SETTLED: readonly MachineState[] = ['ready', 'running', 'paused', 'stopped', 'failed']

/** Every change of state there is. A change to the state that already holds is none, and always allowed. */
export const MACHINE_TRANSITIONS = {
  provision: { from: ['requested'], to: 'provisioning' },
  boot: { from: ['provisioning', 'stopped', 'stopping', 'failed'], to: 'booting' },
  register: { from: ['booting', 'checkpointing'], to: 'ready' },
  work: { from: ['booting', 'ready', 'paused', 'checkpointing'], to: 'running' },
  pause: { from: ['booting', 'ready', 'running', 'checkpointing'], to: 'paused' },
  rest: { from: ['running', 'paused', 'checkpointing'], to: 'ready' },
  freeze: { from: ['ready', 'running', 'paused'], to: 'checkpointing' },
  halt: { from: ['requested', 'provisioning', 'booting', 'ready', 'running', 'paused', 'checkpointing', 'stopped', 'failed'], to: 'stopping' },
  stop: { from: ['stopping'], to: 'stopped' },
  fail: { from: ['requested', 'provisioning', 'booting', 'ready', 'running', 'paused', 'checkpointing', 'stopping', 'stopped'], to: 'failed' },
  destroy: { from: LIVING, to: 'destroyed' },
} as const satisfies Record<string, Transition>
export type MachineTransition = keyof typeof MACHINE_TRANSITIONS

/** What a person may ask for, and in which states; API, CLI and console ask here. */
export const MACHINE_ACTIONS = {
  run: ['ready'],
  checkpoint: ['ready', 'running', 'paused'],
  archive: ['ready', 'running', 'paused', 'stopped'],
  exec: ['ready', 'running', 'paused', 'checkpointing'],
  rollback: SETTLED,
  stop: ['ready', 'running', 'paused', 'failed'],
  start: ['stopped', 'failed'],
  destroy: LIVING,
} as const satisfies Record<string, readonly MachineState[]>
export type MachineAction = keyof typeof MACHINE_ACTIONS

/** The state that follows, or `conflict.state` when the change is not allowed from here. */
export function nextMachineState(state: MachineState, transition: MachineTransition): MachineState {
  const { from, to } = MACHINE_TRANSITIONS[transition]
  if (state === to || (from as readonly MachineState[]).includes(state)) return to
  throw new AutovibeError('conflict.state', `A machine that is ${state} cannot become ${to}.`, { internal: `transition ${transition}` })
}

/** Whether the machine may do this now. */
export function machineAllows(state: MachineState, action: MachineAction): boolean {
  return (MACHINE_ACTIONS[action] as readonly MachineState[]).includes(state)
}

/** Throws `conflict.state`, naming the states in which the action is possible. */
export function assertMachineAllows(machine: { readonly name: string; readonly state: MachineState }, action: MachineAction): void {
  if (machineAllows(machine.state, action)) return
  const states = MACHINE_ACTIONS[action].join(', ')
  throw new AutovibeError('conflict.state', `Machine ${machine.name} is ${machine.state}; to ${action} it must be one of: ${states}.`, {
    fix: wayOut(machine, action),
  })
}

/** What leads on from a state that does not allow an action. */
function wayOut({ name, state }: { readonly name: string; readonly state: MachineState }, action: MachineAction): string {
  if (state === 'destroyed') return 'autovibe checkpoint list'
  if (action !== 'stop' && machineAllows(state, 'start')) return `autovibe machine start ${name}`
  return action === 'run' && (state === 'running' || state === 'paused') ? `autovibe attach ${name}` : 'autovibe ps'
}

/** In these an agent is expected to be heard from. */
export const MACHINE_STATES_AWAKE = ['booting', 'ready', 'running', 'paused', 'checkpointing'] as const satisfies readonly MachineState[]
export const isAwake = (state: MachineState): boolean => (MACHINE_STATES_AWAKE as readonly MachineState[]).includes(state)
