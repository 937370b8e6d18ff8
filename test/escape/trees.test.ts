/** Trees that are made to hurt whoever reads them. Each is first given to a plain tool, which is led out, held up or misled; then the Hub captures it from a machine. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { AutovibeError } from '@autovibe/contract'
import { decodePath } from '@autovibe/core/checkpoints/paths.ts'
import { Captures, type Kept } from './captured.ts'
import { perl } from './perl.ts'
import { asRoot, Stage } from './stage.ts'

/** A machine whose disk is held would not get to make the largest of these. */
const LIMITS = { cores: 2, memory_bytes: 2 * 1024 ** 3, processes: 1000, disk_bytes: 4 * 1024 ** 4, wall_seconds: 3600 }

let stage: Stage
let captures: Captures
before(async () => {
  stage = await Stage.open({}, LIMITS)
  captures = await Captures.open(stage)
})
after(() => stage.close())

interface TreeCase {
  /** Makes the tree in the folder at hand, without knowing whether it is inside. */
  readonly make: (stage: Stage) => string
  /** Ends with 0 outside when the plain tool was hurt. */
  readonly hurts: (stage: Stage) => string
  readonly captured: (taken: () => Promise<Kept>) => Promise<void>
}

let made = 0

function tree(title: string, plan: TreeCase): void {
  const name = `tree-${++made}`
  test(title, async (t) => {
    if (stage.weak !== false) return t.skip(stage.weak)
    const outside = await stage.onHost(`rm -rf tree; mkdir tree; cd tree; ${plan.make(stage)}\n${plan.hurts(stage)}`)
    assert.equal(outside.code, 0, `a plain tool is not even hurt: ${outside.said.slice(-2000)}`)
    const inside = await stage.inside(`cd project; ${plan.make(stage)}`, name)
    assert.equal(inside.code, 0, inside.said.slice(-2000))
    await plan.captured(() => captures.take(name))
    // Whatever it holds, it can be removed.
    await stage.substrate.destroy(stage.id(name), new AbortController().signal)
    assert.deepEqual(await readdir(stage.ground.layout.trash), [])
  })
}

const named = (kept: Kept, path: string) => kept.entries.find((entry) => entry.path === `project/${path}`)

tree('a link to a file of the host is kept as a link', {
  make: ({ outside }) => `ln -s '${outside}/secret' link`,
  hurts: ({ secret }) => `cat link | grep ${secret}`,
  async captured(taken) {
    const kept = await taken()
    assert.deepEqual([named(kept, 'link')?.type, named(kept, 'link')?.sha256], ['symlink', null])
  },
})
tree('a link to a folder of the host is not entered', {
  make: ({ outside }) => `ln -s '${outside}' folder; ln -s / root; ln -s . self`,
  hurts: ({ secret }) => `grep -R ${secret} folder/secret`,
  async captured(taken) {
    const paths = (await taken()).entries.map(({ path }) => path)
    assert.deepEqual(paths, ['home', 'project', 'project/folder', 'project/root', 'project/self'])
  },
})
tree('pipes and sockets are left out and hold nobody up', {
  make: () => `mkfifo pipe; ${perl('socket(S,PF_UNIX,SOCK_STREAM,0); bind(S,sockaddr_un("socket")) && got("bound"); lost("bind")')}; echo x >file`,
  hurts: () => 'timeout 1 cat pipe; test $? -eq 124',
  async captured(taken) {
    assert.deepEqual(
      (await taken()).entries.map(({ path }) => path),
      ['home', 'project', 'project/file'],
    )
  },
})
tree('names with line breaks, options, shell words and terminal codes stay one name each', {
  make: () =>
    `printf 1 >"$(printf 'a\\nb')"; printf 2 >./-rf; printf 3 >'$(touch hurt)'; printf 4 >"$(printf '\\033]0;x\\007')"; printf 5 >'; rm x'; printf 6 >' '`,
  hurts: () => 'test "$(ls | wc -l)" -ne "$(find . -type f -printf x | wc -c)"',
  async captured(taken) {
    const kept = await taken()
    const names = kept.entries.map(({ path }) => path.slice('project/'.length)).filter((name) => name !== '' && name !== 'e')
    assert.deepEqual(names.sort(), ['\u001b]0;x\u0007', ' ', '$(touch hurt)', '-rf', '; rm x', 'a\nb'].sort())
    assert.equal(await captures.text(named(kept, 'a\nb')), '1')
  },
})
tree('names that look like ways upwards, or are not UTF-8, are spelled so that they lead nowhere', {
  make: () => `printf 1 >...; printf 2 >'..\\..\\up'; printf 3 >"$(printf '..\\200')"; printf 4 >"$(printf '\\377')"; printf 5 >'%2e%2e'; printf 6 >'.. '`,
  hurts: () => 'ls | iconv -f UTF-8 -t UTF-16 >/dev/null 2>&1; test $? -ne 0',
  async captured(taken) {
    const kept = await taken()
    const files = kept.entries.filter(({ type }) => type === 'file')
    assert.equal(files.length, 6)
    for (const { path } of files) {
      const parts = Buffer.from(decodePath(path)).toString('latin1').split('/')
      assert.equal(parts.length, 2, path)
      assert.ok(
        parts.every((part) => part !== '..' && part !== '.'),
        path,
      )
    }
    assert.ok(named(kept, '\\xff'))
  },
})
tree('the longest names there are come back whole', {
  make: () => `printf x >"$(printf '%0255d' 0)"; d=$(printf '%0200d' 1); mkdir -p "$d/$d/$d/$d" && printf y >"$d/$d/$d/$d/f"`,
  // ustar(5) has room for 100 bytes of a name.
  hurts: () => 'tar --format=v7 -cf /dev/null . 2>/dev/null; test $? -ne 0',
  async captured(taken) {
    const kept = await taken()
    assert.equal(await captures.text(named(kept, '0'.repeat(255))), 'x')
    assert.equal(kept.entries.filter(({ path }) => path.endsWith('/f')).length, 1)
  },
})
tree('folders deeper than any path can name are refused by name, and can be removed', {
  make: () => perl('for (1..40) { mkdir("d"x200) && chdir("d"x200) || lost("mkdir") } open(F,">","f"); got("made")'),
  hurts: () => 'cat "$(find . -name f)" 2>/dev/null; test $? -ne 0',
  async captured(taken) {
    await assert.rejects(taken, (error) => error instanceof AutovibeError && error.code === 'substrate.failed')
  },
})
tree('a sparse file of a thousand gigabytes is refused before it is read', {
  make: () => 'truncate -s 1000G sparse',
  hurts: () => 'test "$(stat -c %s sparse)" -gt "$(df -B1 --output=avail . | tail -n 1)"',
  async captured(taken) {
    await assert.rejects(taken, (error) => error instanceof AutovibeError && /sparse/.test(error.message))
  },
})
tree('a file that grows while it is read is kept as it was at one moment', {
  make: () => `(timeout 20 sh -c 'while printf x; do :; done >grows' >/dev/null 2>&1 &) ; until test -s grows; do :; done`,
  hurts: () => 'size=$(stat -c %s grows); until test "$(wc -c <grows)" -gt "$size"; do :; done',
  async captured(taken) {
    const kept = await taken()
    const grown = named(kept, 'grows')
    assert.equal((await captures.text(grown)).length, grown?.size)
  },
})
tree('four thousand files in one folder are no more than that', {
  make: () => perl('for (1..4000) { open(F,">",("f"x60).$_) || lost("open") } got("made")'),
  // One command line of the kernel holds no such list of long paths; a shell's `for` or `rm *` fails on it.
  hurts: () => '(ulimit -s 128; /bin/ls * >/dev/null 2>&1); test $? -ne 0',
  async captured(taken) {
    assert.equal((await taken()).entries.length, 4_002)
  },
})

test('a program that would make its caller root lies where nobody else can run it', { skip: asRoot ? false : 'only root could make it' }, async (t) => {
  if (stage.weak !== false) return t.skip(stage.weak)
  const asNobody = (path: string) =>
    // The shell between them has let go of root's rights for good.
    spawnSync('setpriv', ['--reuid', '61234', '--regid', '61234', '--clear-groups', 'sh', '-c', 'exec "$0" -u', path], { encoding: 'utf8' })
  await stage.onHost('cp /usr/bin/id /tmp/avesc-suid-id; chmod 4755 /tmp/avesc-suid-id')
  t.after(() => stage.onHost('rm /tmp/avesc-suid-id'))
  assert.equal(asNobody('/tmp/avesc-suid-id').stdout.trim(), '0', 'it does not even make root outside')
  await stage.inside('cp /usr/bin/id project/id; chmod 4755 project/id', 'suid')
  const found = await stage.onHost(`find '${stage.ground.layout.layers}' -name id -perm -4000`)
  assert.notEqual(found.said, '')
  for (const path of found.said.split('\n')) assert.notEqual(asNobody(path).status, 0)
  assert.equal(named(await captures.take('suid'), 'id')?.type, 'file')
  assert.ok(found.said.startsWith(join(stage.ground.layout.layers)))
})
