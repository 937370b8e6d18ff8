/** Machines behind a cluster for tests: guests that run our guest program from boot on and reach the Hub's gate and nothing else, and the disk that a template of theirs has. */
import type { Reachable } from './guest-network.ts'
import type { Guests } from './guests.ts'
import type { ProxmoxStandIn } from './stand-in.ts'

/** Where machines reach the gate, as the Hub advertises it and as a firewall's rules name it, and the port on which it really listens. */
export interface GatePlace {
  readonly address: string
  readonly port: number
  /** More addresses that lead there, when a rule lets out to them. */
  readonly also?: readonly string[]
  readonly listens: () => number
}

export interface MachineParts {
  /** A folder of its own, removed at the end. */
  readonly root: string
  readonly gate: GatePlace
  /** The program that guests start as the agent. */
  readonly agent: string
  /** Where guests find the tools of agents. */
  readonly agentsDir: string
}

export interface Machines {
  readonly guests: Guests & {
    /** Ends what a VM consists of from outside. */
    crash(vmid: number): Promise<void>
  }
  /** What the first disk of a template is made of on this node, in the words of `POST …/qemu`. */
  templateDisk(pve: ProxmoxStandIn, node: string, storage: string): Promise<string>
}

export type OpenMachines = (parts: MachineParts) => Promise<Machines>

export const placesOf = ({ address, also = [], port, listens }: GatePlace): Reachable[] =>
  [address, ...also].map((each) => ({ address: each, port, to: { host: '127.0.0.1', port: listens() } }))
