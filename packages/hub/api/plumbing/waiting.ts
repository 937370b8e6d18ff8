/** `GET …/{id}/wait`: reads the row again whenever something was committed, until it is what was asked for, can no longer become it, or time is up. */
import type { CheckpointState, Machine, OperationState, RunState } from '@autovibe/contract'
import { AutovibeError } from '@autovibe/contract'
import type { FastifyReply } from 'fastify'
import type { ApiContext } from './deps.ts'

/** More than this wait elsewhere: each costs a read for every commit. */
const WAITING_MAX = 500

/** Waits without holding a connection; answers the resource as it was read last, whatever its state. */
export async function waitUntil<T>(
  context: ApiContext,
  reply: FastifyReply,
  timeoutSeconds: number,
  read: () => Promise<T>,
  isOver: (value: T) => boolean,
): Promise<T> {
  if (context.load.waiting >= WAITING_MAX) {
    throw new AutovibeError('request.rate_limited', `${WAITING_MAX} requests wait already.`, {
      fix: 'Follow GET /v1/events instead; one stream tells about everything.',
    })
  }
  context.load.waiting++
  const gone = new AbortController()
  const onClose = (): void => gone.abort()
  reply.raw.once('close', onClose)
  try {
    const signal = AbortSignal.any([gone.signal, context.closing, AbortSignal.timeout(timeoutSeconds * 1000)])
    while (true) {
      const changed = context.changes.next(signal)
      const value = await read()
      if (isOver(value) || signal.aborted) return value
      await changed
    }
  } finally {
    context.load.waiting--
    reply.raw.off('close', onClose)
  }
}

type Over<Target extends string, State extends string> = Readonly<Record<Target, readonly State[]>>

/** For each thing that can be waited for: the states in which the wait is over, because it was reached or because it cannot be. */
const MACHINE_OVER: Over<'ready' | 'stopped' | 'destroyed', Machine['state']> = {
  ready: ['ready', 'running', 'paused', 'checkpointing', 'destroyed'],
  stopped: ['stopped', 'destroyed'],
  destroyed: ['destroyed'],
}
/** A machine in one of these moves only by an operation; without one under way there is nothing to wait for. */
const MACHINE_AT_REST: readonly Machine['state'][] = ['stopped', 'failed']

const RUN_OVER: Over<'running' | 'ended', RunState> = {
  running: ['running', 'paused', 'succeeded', 'failed', 'cancelled'],
  ended: ['succeeded', 'failed', 'cancelled'],
}

const CHECKPOINT_OVER: Over<'capturing' | 'stored' | 'verified', CheckpointState> = {
  capturing: ['capturing', 'stored', 'verified', 'corrupt', 'failed', 'expired'],
  stored: ['stored', 'verified', 'corrupt', 'failed', 'expired'],
  verified: ['verified', 'corrupt', 'failed', 'expired'],
}

const OPERATION_OVER: Over<'ended', OperationState> = { ended: ['done', 'failed', 'cancelled', 'stuck'] }

export const machineWaitIsOver = (target: keyof typeof MACHINE_OVER, machine: Pick<Machine, 'state' | 'operation_id'>): boolean =>
  MACHINE_OVER[target].includes(machine.state) || (machine.operation_id === null && MACHINE_AT_REST.includes(machine.state))
export const runWaitIsOver = (target: keyof typeof RUN_OVER, state: RunState): boolean => RUN_OVER[target].includes(state)
export const checkpointWaitIsOver = (target: keyof typeof CHECKPOINT_OVER, state: CheckpointState): boolean => CHECKPOINT_OVER[target].includes(state)
export const operationWaitIsOver = (target: keyof typeof OPERATION_OVER, state: OperationState): boolean => OPERATION_OVER[target].includes(state)
