/** What `doctor` says of this host's tiers: for each thing tried whether it works, and if not, the one command that cures it. Pure. */
import type { Finding } from '@autovibe/contract'
import { chooseTiers, type HostFacts, type Outcome, type Outcomes } from './tiers.ts'

export function substrateFindings(outcomes: Outcomes): Finding[] {
  return [isolation(outcomes), seccomp(outcomes), landlock(outcomes), btrfs(outcomes), overlay(outcomes), reflink(outcomes)]
}

type Status = Finding['status']
const finding = (name: string, status: Status, detail: string, fix: string | null = null): Finding => ({ area: 'substrate', name, status, detail, fix })

/** Ubuntu's own profile lets bubblewrap make namespaces and nobody else; switching the restriction off would let everyone. */
const LOAD_PROFILE =
  'sudo apt-get install apparmor-profiles && sudo cp /usr/share/apparmor/extra-profiles/bwrap-userns-restrict /etc/apparmor.d/ && sudo apparmor_parser -r /etc/apparmor.d/bwrap-userns-restrict'
const RESTRICTED_WORDS = /uid map|RTM_NEWADDR/

function isolation({ sandbox, hardened, landlock, asRoot, facts }: Outcomes): Finding {
  if (sandbox !== null) {
    const instead = landlock === null ? 'machines are partly fenced in by Landlock (I1), not enough for hostile code' : 'machines are bare processes (I0)'
    const isMissing = sandbox.includes('cannot be run')
    return finding(
      'isolation',
      'failed',
      `${isMissing ? 'bubblewrap is not installed' : `bubblewrap does not work${because(sandbox, facts)}: ${firstLine(sandbox)}`}; ${instead}`,
      isMissing ? 'sudo apt-get install bubblewrap' : namespaceCure(sandbox, facts),
    )
  }
  if (hardened !== null)
    return finding(
      'isolation',
      'warning',
      `bubblewrap works, but is older than 0.8: memory file systems are not limited and namespaces inside are not forbidden (${firstLine(hardened)})`,
      'sudo apt-get install --only-upgrade bubblewrap',
    )
  return finding(
    'isolation',
    'ok',
    `bubblewrap works ${asRoot ? 'as root (I3)' : 'as an ordinary user (I2)'}: all namespaces, no capabilities, no network but the Hub's socket`,
  )
}

function because(said: string, facts: HostFacts): string {
  if (facts.noUserNamespaces) return ' (user.max_user_namespaces is 0)'
  if (facts.cloneForbidden) return ' (kernel.unprivileged_userns_clone is 0)'
  if (facts.withoutSysAdmin) return ' (a container without CAP_SYS_ADMIN)'
  return facts.appArmorRestricts || RESTRICTED_WORDS.test(said) ? ' (AppArmor restricts user namespaces)' : ''
}

function namespaceCure(said: string, facts: HostFacts): string {
  // A container cannot change what its host has set.
  if (facts.withoutSysAdmin) return 'Start the container with: --cap-add SYS_ADMIN --security-opt seccomp=unconfined --security-opt apparmor=unconfined'
  if (facts.noUserNamespaces) return 'sudo sysctl -w user.max_user_namespaces=15000'
  if (facts.cloneForbidden) return 'sudo sysctl -w kernel.unprivileged_userns_clone=1'
  if (facts.appArmorRestricts || RESTRICTED_WORDS.test(said)) return LOAD_PROFILE
  return 'bwrap --unshare-all --ro-bind / / true'
}

function seccomp({ seccomp: outcome, sandbox }: Outcomes): Finding {
  if (outcome === null) return finding('seccomp', 'ok', 'system calls are filtered: io_uring, bpf, keyrings, mounts, namespaces and odd sockets are refused')
  if (sandbox !== null) return finding('seccomp', 'warning', 'not tried: bubblewrap does not work')
  return finding(
    'seccomp',
    'warning',
    `machines run without a filter of system calls: ${firstLine(outcome)}`,
    'Use a kernel with CONFIG_SECCOMP_FILTER on x86-64 or arm64.',
  )
}

/** What each version has brought: before it, that much more is open. */
const SINCE: readonly (readonly [number, string])[] = [
  [2, 'files cannot be moved between folders'],
  [3, 'files of the Hub can be cut short'],
  [6, 'signals reach the Hub, and abstract sockets are open'],
]
/** In words, what a kernel's Landlock leaves open that a newer one would not. */
export const landlockGaps = (abi: number): string[] => SINCE.filter(([version]) => abi < version).map(([, gap]) => gap)

function landlock({ landlock: outcome, landlockAbi: abi, sandbox }: Outcomes): Finding {
  if (outcome === null) {
    const gaps = landlockGaps(abi)
    const used = sandbox === null ? 'not needed with bubblewrap' : 'used in place of bubblewrap (I1)'
    const detail = `Landlock works, version ${abi}; ${used}${gaps.length === 0 ? '' : `; too old for all of it: ${gaps.join(', ')}`}`
    return finding('landlock', sandbox !== null && gaps.length > 0 ? 'warning' : 'ok', detail)
  }
  if (sandbox === null) return finding('landlock', 'ok', `Landlock does not work (${firstLine(outcome)}); not needed with bubblewrap`)
  const isMissing = outcome.includes('cannot be run')
  return finding(
    'landlock',
    'warning',
    isMissing ? 'perl is not installed, which sets Landlock up' : `Landlock does not work: ${firstLine(outcome)}`,
    isMissing ? 'sudo apt-get install perl-base' : 'Use Linux 5.13 or newer with landlock among the LSMs (boot parameter lsm=landlock,...).',
  )
}

const isConstant = (outcomes: Outcomes): boolean => {
  const { copy } = chooseTiers(outcomes, {})
  return copy === 'C4' || copy === 'C3'
}

function btrfs(outcomes: Outcomes): Finding {
  if (outcomes.btrfs === null) return finding('btrfs', 'ok', 'trees are btrfs subvolumes (C4): fork and rollback take the same time for every size')
  const isMissing = outcomes.btrfs.includes('cannot be run')
  if (isMissing) return finding('btrfs', 'warning', 'the data directory lies on btrfs, but its tool is not installed', 'sudo apt-get install btrfs-progs')
  return finding('btrfs', 'ok', `no btrfs snapshots: ${firstLine(outcomes.btrfs)}${isConstant(outcomes) ? '; not needed with overlay layers' : ''}`)
}

function overlay(outcomes: Outcomes): Finding {
  const { overlay: outcome, sandbox, userNamespaces, asRoot, facts } = outcomes
  if (outcome === null) return finding('overlay', 'ok', 'overlay layers can be mounted and swapped (C3): fork and rollback take the same time for every size')
  if (isConstant(outcomes)) return finding('overlay', 'ok', `no overlay layers: ${firstLine(outcome)}; not needed on btrfs`)
  const detail = `no overlay layers: ${firstLine(outcome)}; trees are copied`
  if (sandbox !== null) return finding('overlay', 'warning', `${detail} (they need bubblewrap)`)
  if (/cannot be run|missing|ENOENT/.test(outcome)) return finding('overlay', 'warning', detail, 'sudo apt-get install bubblewrap util-linux perl-base')
  // The profile frees bubblewrap alone; the mounts are made outside of it.
  if (!asRoot && userNamespaces !== null)
    return finding(
      'overlay',
      'warning',
      detail,
      facts.appArmorRestricts ? 'sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0' : namespaceCure(userNamespaces, facts),
    )
  if (/unknown filesystem|No such device/.test(outcome)) return finding('overlay', 'warning', detail, 'sudo modprobe overlay')
  return finding('overlay', 'warning', detail, 'Put the data directory on ext4, xfs or btrfs: autovibe up --data-dir PATH')
}

function reflink(outcomes: Outcomes): Finding {
  if (outcomes.reflink === null) return finding('reflink', 'ok', 'copies share their blocks (C2)')
  const detail = `the data directory's file system cannot share blocks between copies (${firstLine(outcomes.reflink)})`
  return isConstant(outcomes)
    ? finding('reflink', 'ok', `${detail}; not needed with layers or snapshots`)
    : finding('reflink', 'warning', detail, 'Put the data directory on btrfs or xfs: autovibe up --data-dir PATH')
}

const firstLine = (text: Outcome): string => (text ?? '').split('\n')[0]?.slice(0, 300) ?? ''
