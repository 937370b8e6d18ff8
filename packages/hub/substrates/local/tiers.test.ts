import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Finding } from '@autovibe/contract'
import { landlockGaps, substrateFindings } from './findings.ts'
import { chooseTiers, type Outcomes, offeredTiers, type Tiers } from './tiers.ts'

/** A good host: everything works but btrfs and reflinks, which want their own file systems. */
const GOOD: Outcomes = {
  asRoot: true,
  sandbox: null,
  hardened: null,
  seccomp: null,
  landlock: null,
  landlockAbi: 7,
  userNamespaces: null,
  overlay: null,
  btrfs: 'the data directory does not lie on btrfs',
  reflink: 'ENOTSUP',
  facts: { appArmorRestricts: false, noUserNamespaces: false, cloneForbidden: false, withoutSysAdmin: false },
}
const NO_BWRAP = 'bwrap cannot be run: ENOENT.'
const unsandboxed = (sandbox: string): Partial<Outcomes> => ({ sandbox, hardened: sandbox, seccomp: sandbox, overlay: sandbox })
const facts = (more: Partial<Outcomes['facts']>): Pick<Outcomes, 'facts'> => ({ facts: { ...GOOD.facts, ...more } })

interface Row {
  readonly host: string
  readonly outcomes: Partial<Outcomes>
  readonly tiers: string
  /** Findings that are not well, by name: the status and the fix. */
  readonly said: Readonly<Record<string, readonly [Finding['status'], RegExp | null]>>
}

const ROWS: readonly Row[] = [
  { host: 'root, everything', outcomes: {}, tiers: 'I3+C3', said: {} },
  { host: 'a user, everything', outcomes: { asRoot: false }, tiers: 'I2+C3', said: {} },
  { host: 'a data directory on btrfs', outcomes: { btrfs: null, reflink: null }, tiers: 'I3+C4', said: {} },
  {
    host: 'xfs beneath an overlay that cannot be mounted',
    outcomes: { overlay: 'wrong fs type', reflink: null },
    tiers: 'I3+C2',
    said: { overlay: ['warning', /--data-dir/] },
  },
  {
    host: 'btrfs without its tool',
    outcomes: { btrfs: 'btrfs cannot be run: ENOENT.', reflink: null },
    tiers: 'I3+C3',
    said: { btrfs: ['warning', /install btrfs-progs/] },
  },
  {
    host: 'no bubblewrap',
    outcomes: unsandboxed(NO_BWRAP),
    tiers: 'I1+C1',
    said: {
      isolation: ['failed', /^sudo apt-get install bubblewrap$/],
      seccomp: ['warning', null],
      overlay: ['warning', null],
      reflink: ['warning', /btrfs or xfs/],
    },
  },
  { host: 'an old bubblewrap', outcomes: { hardened: 'Unknown option --size' }, tiers: 'I3+C3', said: { isolation: ['warning', /--only-upgrade bubblewrap/] } },
  {
    host: 'a kernel without seccomp',
    outcomes: { seccomp: 'prctl(PR_SET_SECCOMP): Invalid argument', landlock: 'fence: prctl 22' },
    tiers: 'I3+C3',
    said: { seccomp: ['warning', /CONFIG_SECCOMP_FILTER/] },
  },
  {
    host: 'Ubuntu 24.04, a user',
    outcomes: {
      asRoot: false,
      userNamespaces: 'write failed /proc/self/uid_map',
      ...unsandboxed('bwrap: setting up uid map: Permission denied'),
      ...facts({ appArmorRestricts: true }),
    },
    tiers: 'I1+C1',
    said: { isolation: ['failed', /bwrap-userns-restrict/], seccomp: ['warning', null], overlay: ['warning', null], reflink: ['warning', /xfs/] },
  },
  {
    host: 'Ubuntu with the profile loaded, a user',
    outcomes: { asRoot: false, userNamespaces: 'write failed /proc/self/uid_map', overlay: 'unshare: write failed', ...facts({ appArmorRestricts: true }) },
    tiers: 'I2+C1',
    said: { overlay: ['warning', /apparmor_restrict_unprivileged_userns=0/], reflink: ['warning', /xfs/] },
  },
  {
    host: 'the same, known only by what bubblewrap says',
    outcomes: { asRoot: false, ...unsandboxed('bwrap: loopback: Failed RTM_NEWADDR: Operation not permitted') },
    tiers: 'I1+C1',
    said: { isolation: ['failed', /apparmor_parser/], seccomp: ['warning', null], overlay: ['warning', null], reflink: ['warning', /xfs/] },
  },
  {
    host: 'no user namespaces at all',
    outcomes: { asRoot: false, ...unsandboxed('bwrap: Creating new namespace failed: No space left on device'), ...facts({ noUserNamespaces: true }) },
    tiers: 'I1+C1',
    said: { isolation: ['failed', /max_user_namespaces=15000/], seccomp: ['warning', null], overlay: ['warning', null], reflink: ['warning', /xfs/] },
  },
  {
    host: 'Debian with its switch off',
    outcomes: { asRoot: false, ...unsandboxed('bwrap: No permissions to create new namespace'), ...facts({ cloneForbidden: true }) },
    tiers: 'I1+C1',
    said: { isolation: ['failed', /unprivileged_userns_clone=1/], seccomp: ['warning', null], overlay: ['warning', null], reflink: ['warning', /xfs/] },
  },
  {
    host: 'a plain container',
    outcomes: { ...unsandboxed('bwrap: Creating new namespace failed: Operation not permitted'), ...facts({ withoutSysAdmin: true, noUserNamespaces: true }) },
    tiers: 'I1+C1',
    said: { isolation: ['failed', /--cap-add SYS_ADMIN/], seccomp: ['warning', null], overlay: ['warning', null], reflink: ['warning', /xfs/] },
  },
  {
    host: 'a plain container with an old kernel',
    outcomes: { ...unsandboxed('bwrap: no'), landlock: 'fence: no Landlock: Function not implemented', landlockAbi: 0, ...facts({ withoutSysAdmin: true }) },
    tiers: 'I0+C1',
    said: {
      isolation: ['failed', /--cap-add/],
      seccomp: ['warning', null],
      landlock: ['warning', /lsm=landlock/],
      overlay: ['warning', null],
      reflink: ['warning', /xfs/],
    },
  },
  {
    host: 'a plain container without perl',
    outcomes: { ...unsandboxed('bwrap: no'), landlock: 'perl cannot be run', landlockAbi: 0, ...facts({ withoutSysAdmin: true }) },
    tiers: 'I0+C1',
    said: {
      isolation: ['failed', /--cap-add/],
      seccomp: ['warning', null],
      landlock: ['warning', /install perl-base/],
      overlay: ['warning', null],
      reflink: ['warning', /xfs/],
    },
  },
  {
    host: 'a plain container with an early Landlock',
    outcomes: { ...unsandboxed('bwrap: no'), landlockAbi: 1, ...facts({ withoutSysAdmin: true }) },
    tiers: 'I1+C1',
    said: {
      isolation: ['failed', /--cap-add/],
      seccomp: ['warning', null],
      landlock: ['warning', null],
      overlay: ['warning', null],
      reflink: ['warning', /xfs/],
    },
  },
  {
    host: 'a kernel without overlay',
    outcomes: { overlay: 'mount: unknown filesystem type overlay' },
    tiers: 'I3+C1',
    said: { overlay: ['warning', /modprobe overlay/], reflink: ['warning', /xfs/] },
  },
  {
    host: 'no nsenter',
    outcomes: { overlay: 'nsenter or flock is missing' },
    tiers: 'I3+C1',
    said: { overlay: ['warning', /util-linux/], reflink: ['warning', /xfs/] },
  },
]

for (const { host, outcomes, tiers, said } of ROWS) {
  test(`${host}: ${tiers}, and what is missing is named with its cure`, () => {
    const all = { ...GOOD, ...outcomes }
    const { isolation, copy } = chooseTiers(all, {})
    assert.equal(`${isolation}+${copy}`, tiers)
    const findings = substrateFindings(all)
    assert.deepEqual(
      findings.map(({ name }) => name),
      ['isolation', 'seccomp', 'landlock', 'btrfs', 'overlay', 'reflink'],
    )
    for (const { name, status, fix, detail } of findings) {
      const [expected, cure] = said[name] ?? ['ok', null]
      assert.equal(status, expected, `${name}: ${detail}`)
      if (cure === null) assert.equal(fix, null, name)
      else assert.match(fix ?? '', cure, name)
    }
  })
}

test('a forced tier is taken where the host offers it and refused where it does not', () => {
  const container = { ...GOOD, ...unsandboxed('bwrap: no') }
  const cases: readonly (readonly [Outcomes, Partial<Tiers>, string | null])[] = [
    [GOOD, { isolation: 'I1' }, 'I1+C1'],
    [GOOD, { isolation: 'I0' }, 'I0+C1'],
    [GOOD, { copy: 'C1' }, 'I3+C1'],
    [GOOD, { copy: 'C4' }, null],
    [GOOD, { isolation: 'I2' }, null],
    [GOOD, { isolation: 'I1', copy: 'C3' }, null],
    [{ ...GOOD, btrfs: null }, { copy: 'C3' }, 'I3+C3'],
    [{ ...GOOD, btrfs: null }, { isolation: 'I1' }, 'I1+C4'],
    [{ ...GOOD, btrfs: null, reflink: null }, { copy: 'C2' }, 'I3+C2'],
    [container, { copy: 'C3' }, null],
    [container, { isolation: 'I3' }, null],
    [{ ...container, landlock: 'no' }, { isolation: 'I1' }, null],
  ]
  for (const [outcomes, force, expected] of cases) {
    const about = JSON.stringify(force)
    if (expected === null) assert.throws(() => chooseTiers(outcomes, force), { code: 'substrate.unavailable' }, about)
    else assert.equal(Object.values(chooseTiers(outcomes, force)).join('+'), expected, about)
  }
})

test('what is offered is told best first', () => {
  assert.deepEqual(offeredTiers({ ...GOOD, btrfs: null, reflink: null }), { isolation: ['I3', 'I1', 'I0'], copy: ['C4', 'C3', 'C2', 'C1'] })
})

test('an older Landlock leaves more open', () => {
  assert.deepEqual(
    [1, 2, 3, 5, 6, 7].map((abi) => landlockGaps(abi).length),
    [3, 2, 1, 1, 0, 0],
  )
})
