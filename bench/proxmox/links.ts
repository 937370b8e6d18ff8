/** Guests without VMs, in a process of their own: each registers at the gate with its invitation, keeps its link, and says of itself that its agent runs. */
import type { GuestStateAnswer } from '@autovibe/contract'
import { rawLink, register } from '../../packages/hub/substrates/proxmox/gate/testing/raw-peer.ts'
import { answerParent } from '../support/child.ts'

export interface ToLink {
  readonly port: number
  readonly invitations: readonly string[]
}

const AT_ONCE = 16

const state: GuestStateAnswer = {
  boot: 'the only one',
  up_ms: 60_000,
  agent: 'running',
  life: 'the only one',
  cpu_seconds: 1,
  memory_bytes: 100_000_000,
  peak_memory_bytes: 200_000_000,
  processes: 12,
  counted: true,
  disk_bytes: 1_000_000,
  refused: { memory: 0, processes: 0 },
  frozen: [],
  has_tree: true,
}

answerParent<ToLink, number>(async ({ port, invitations }) => {
  const left = invitations.values()
  const link = async (): Promise<void> => {
    for (const invitation of left) {
      const token = await register(port, invitation)
      await rawLink(port, token, (stream) => {
        stream.respond({ ':status': 200 })
        stream.end(JSON.stringify(state))
      })
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, link))
  return invitations.length
})
