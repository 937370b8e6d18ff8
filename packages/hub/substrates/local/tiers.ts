/** From what was tried on a host to the tiers it offers: pure, so that every kind of host can be a row of a test. */
import { AutovibeError, type CopyTier, type IsolationTier } from '@autovibe/contract'

/** `null` when it worked, otherwise what was said. */
export type Outcome = string | null

/** What each attempt came to, and what the host says of itself where that explains a failure. */
export interface Outcomes {
  readonly asRoot: boolean
  /** bubblewrap with every namespace. */
  readonly sandbox: Outcome
  /** What only bubblewrap 0.8 and later can. */
  readonly hardened: Outcome
  /** bubblewrap with our filter of system calls. */
  readonly seccomp: Outcome
  /** The helper with Landlock and the filter for machines in the host's namespaces. */
  readonly landlock: Outcome
  /** The kernel's version of Landlock; 0 without. */
  readonly landlockAbi: number
  readonly userNamespaces: Outcome
  readonly overlay: Outcome
  readonly btrfs: Outcome
  readonly reflink: Outcome
  readonly facts: HostFacts
}

export interface HostFacts {
  /** kernel.apparmor_restrict_unprivileged_userns is 1, as on Ubuntu since 24.04. */
  readonly appArmorRestricts: boolean
  /** user.max_user_namespaces is 0. */
  readonly noUserNamespaces: boolean
  /** kernel.unprivileged_userns_clone is 0, a switch of Debian's kernels. */
  readonly cloneForbidden: boolean
  /** CAP_SYS_ADMIN is not in the bounding set: a plain container. */
  readonly withoutSysAdmin: boolean
}

export interface Tiers {
  readonly isolation: IsolationTier
  readonly copy: CopyTier
}

/** Best first. */
export function offeredTiers(outcomes: Outcomes): { readonly isolation: readonly IsolationTier[]; readonly copy: readonly CopyTier[] } {
  const sandbox = outcomes.sandbox === null
  return {
    isolation: [...(sandbox ? [outcomes.asRoot ? ('I3' as const) : ('I2' as const)] : []), ...(outcomes.landlock === null ? ['I1' as const] : []), 'I0'],
    copy: [
      ...(outcomes.btrfs === null ? ['C4' as const] : []),
      // A machine that could mount something inside its tree could keep a frozen layer open beneath it, unseen: the filter or the newer bubblewrap keeps it from that.
      ...(sandbox && outcomes.overlay === null && (outcomes.seccomp === null || outcomes.hardened === null) ? ['C3' as const] : []),
      ...(outcomes.reflink === null ? ['C2' as const] : []),
      'C1',
    ],
  }
}

/** Layers are mounted, and a machine in the host's own namespaces sees no mount. */
const goTogether = ({ isolation, copy }: Tiers): boolean => copy !== 'C3' || isolation === 'I3' || isolation === 'I2'

/** The best that goes together, or what was asked for. Throws `substrate.unavailable` when the host does not offer that. */
export function chooseTiers(outcomes: Outcomes, force: Partial<Tiers>): Tiers {
  const offered = offeredTiers(outcomes)
  for (const isolation of offered.isolation) {
    if (force.isolation !== undefined && force.isolation !== isolation) continue
    const copy = offered.copy.find((one) => (force.copy === undefined || force.copy === one) && goTogether({ isolation, copy: one }))
    // A forced copy tier is no reason to take a weaker fence than the best.
    if (copy !== undefined) return { isolation, copy }
    break
  }
  const wish = [force.isolation, force.copy].filter((tier) => tier !== undefined).join(' with ')
  throw new AutovibeError(
    'substrate.unavailable',
    `This host offers ${offered.isolation.join(', ')} with ${offered.copy.join(', ')} (C3 only with I3 and I2), not ${wish}.`,
    { retryable: false, fix: 'Run autovibe doctor to see what is missing.' },
  )
}
