import assert from 'node:assert/strict'
import { test } from 'node:test'
import { countedIn, settingsFor } from './cgroup-files.ts'
import { parseHierarchies } from './cgroup-places.ts'
import { placesOf } from './cgroups.ts'

const HYBRID = `31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:5 master:1 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
`
const HYBRID_GROUPS = '5:memory:/jobs/one\n3:cpu,cpuacct:/\n1:name=systemd:/x\n0::/init.scope\n'

test('each hierarchy is found with its mount, its controllers and our own group in it', () => {
  assert.deepEqual(parseHierarchies(HYBRID, HYBRID_GROUPS), [
    { version: 'v1', mount: '/sys/fs/cgroup/cpu,cpuacct', own: '/sys/fs/cgroup/cpu,cpuacct', controllers: ['cpu', 'cpuacct'] },
    { version: 'v1', mount: '/sys/fs/cgroup/memory', own: '/sys/fs/cgroup/memory/jobs/one', controllers: ['memory'] },
    { version: 'v2', mount: '/sys/fs/cgroup/unified', own: '/sys/fs/cgroup/unified/init.scope', controllers: [] },
  ])
})

test('a container sees its own group as the top, and what lies outside of a mount is not reached for', () => {
  const mounts = '40 1 0:3 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup rw\n'
  assert.equal(parseHierarchies(mounts, '0::/docker/abc\n')[0]?.own, '/sys/fs/cgroup')
  assert.equal(parseHierarchies(mounts, '0::/docker/abc/sub\n')[0]?.own, '/sys/fs/cgroup/sub')
  assert.equal(parseHierarchies(mounts, '0::/../other\n')[0]?.own, '/sys/fs/cgroup')
  assert.equal(parseHierarchies(mounts, '0::/docker/abcdef\n')[0]?.own, '/sys/fs/cgroup')
  assert.equal(parseHierarchies('40 1 0:3 / /cgroup\\040two rw - cgroup2 none rw\n', '0::/a:b\n')[0]?.own, '/cgroup two/a:b')
})

test('the top is tried first, then the group that was handed over, whether the Hub stands in it or aside', () => {
  const folders = (group: string) =>
    placesOf(parseHierarchies('40 1 0:3 / /c rw - cgroup2 none rw\n', `0::${group}\n`), 'v2')
      .flat()
      .map(({ folder }) => folder)
  assert.deepEqual(folders('/'), ['/c'])
  assert.deepEqual(folders('/user/scope'), ['/c', '/c/user/scope'])
  assert.deepEqual(folders('/user/scope/autovibe-hub'), ['/c', '/c/user/scope'])
})

test('limits are written in the units of the kernel', () => {
  const written = (version: 'v1' | 'v2') =>
    settingsFor(version, { cores: 0.5, memory_bytes: 1000, processes: 64 }).map(({ file, value, optional }) => `${file} ${value}${optional ? ' ?' : ''}`)
  assert.deepEqual(written('v2'), ['memory.swap.max 0 ?', 'memory.max 1000', 'cpu.max 50000 100000', 'pids.max 64'])
  assert.deepEqual(written('v1'), [
    'memory.memsw.limit_in_bytes 1000 ?',
    'memory.limit_in_bytes 1000',
    'memory.memsw.limit_in_bytes 1000 ?',
    'cpu.cfs_period_us 100000',
    'cpu.cfs_quota_us 50000',
    'pids.max 64',
  ])
})

test('counters are read in both versions, and what is missing is told from zero', () => {
  const v2: Record<string, string> = {
    'cpu.stat': 'usage_usec 1500000\nuser_usec 1\nnr_throttled 3\n',
    'memory.current': '4096\n',
    'memory.events': 'low 0\nhigh 0\nmax 9\noom 2\noom_kill 1\noom_group_kill 0\n',
    'cgroup.procs': '11\n12\n0\n',
    'pids.events': 'max 4\n',
  }
  assert.deepEqual(
    countedIn('v2', (_, file) => v2[file] ?? null),
    { cpuSeconds: 1.5, memoryBytes: 4096, peakMemoryBytes: null, oomKills: 1, processes: 3, processesRefused: 4 },
  )
  const v1: Record<string, string> = {
    'cpuacct.usage': '2500000000\n',
    'memory.usage_in_bytes': '1\n',
    'memory.max_usage_in_bytes': '2\n',
    'memory.oom_control': 'oom_kill_disable 0\nunder_oom 0\noom_kill 0\n',
  }
  assert.deepEqual(
    countedIn('v1', (_, file) => v1[file] ?? null),
    { cpuSeconds: 2.5, memoryBytes: 1, peakMemoryBytes: 2, oomKills: 0, processes: null, processesRefused: null },
  )
})
