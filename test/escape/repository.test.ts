/** A repository in a machine's tree that runs code for whoever looks at it with git: a plain git does run it; `autovibe diff` and `autovibe apply`, which never open it, do not. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { AutovibeError } from '@autovibe/contract'
import { applyToCheckout } from '../../packages/cli/git/apply.ts'
import { findLeftovers, openRepository } from '../../packages/cli/git/repository.ts'
import { makeRepository, type TestRepository } from '../../packages/cli/git/testing.ts'
import { Captures } from './captured.ts'
import { Stage } from './stage.ts'

let stage: Stage
let captures: Captures
before(async () => {
  stage = await Stage.open()
  captures = await Captures.open(stage)
})
after(() => stage.close())

/** Each writes its name into the marker folder when git runs it. */
const TRAPS = ['hook', 'fsmonitor', 'filter', 'diff', 'textconv', 'ssh', 'submodule'] as const
/** A repository in the folder at hand whose every setting runs something. */
const trapped = (marks: string): string => {
  const runs = (trap: (typeof TRAPS)[number], then = 'true'): string => `sh -c 'touch ${marks}/${trap}; ${then}' --`
  return `git init -q . && git config user.email a@b && git config user.name a && mkdir -p ${marks} && echo one >a.txt && git add . && git commit -qm first
    for h in post-checkout post-index-change reference-transaction; do printf '#!/bin/sh\\ntouch ${marks}/hook\\n' >.git/hooks/$h; chmod 755 .git/hooks/$h; done
    git config core.fsmonitor "${runs('fsmonitor', 'exit 1')}"; git config filter.x.clean "${runs('filter', 'cat')}"; git config diff.x.command "${runs('diff')}"
    git config diff.y.textconv "${runs('textconv')}"; git config core.sshCommand "${runs('ssh', 'exit 1')}"; git config submodule.s.update "!${runs('submodule')}"
    printf '*.txt filter=x diff=x\\n*.md diff=y\\n' >.gitattributes; printf '[submodule "s"]\\npath = s\\nurl = ssh://localhost/s\\n' >.gitmodules
    echo two >>a.txt; echo md >b.md; echo new >new.txt`
}
const TEMPT = 'git status; git diff; git add -A; git diff --cached; git checkout -q -b other; git fetch ssh://localhost/s'

/** The checkout that the machine's project came from, after the machine's change was applied to it. */
async function applyFrom(name: string, repository: TestRepository, change: string) {
  await stage.inside(`cd project && printf 'one\\ntwo\\nthree\\n' >a.txt`, name)
  const earlier = await captures.take(name)
  const made = await stage.inside(`cd project && ${change}`, name)
  assert.equal(made.code, 0, made.said)
  const later = await captures.take(name)
  const diff = await captures.diff(earlier, later, repository.git('rev-parse', 'HEAD'))
  return { diff, apply: async () => applyToCheckout(await openRepository(repository.path), diff, captures.reader(earlier, later)) }
}

test('hooks, monitors, filters and diff drivers of a repository in the tree run for a plain git, and never for autovibe', async (t) => {
  if (stage.weak !== false) return t.skip(stage.weak)
  using repository = makeRepository()
  const marks = join(stage.outside, 'marks')
  const outside = await stage.onHost(`mkdir plain; cd plain; ${trapped(marks)}; { ${TEMPT}; } >/dev/null 2>&1; true`)
  const sprung = existsSync(marks) ? readdirSync(marks).sort() : []
  for (const trap of ['diff', 'filter', 'fsmonitor', 'hook', 'ssh']) assert.ok(sprung.includes(trap), `${trap} does not even run outside: ${outside.said}`)
  rmSync(marks, { recursive: true })

  const { apply } = await applyFrom('traps', repository, trapped(marks))
  const applied = await apply()
  assert.ok(applied.some(({ path, result }) => path === 'new.txt' && result === 'added'))
  assert.ok(!applied.some(({ path }) => path.startsWith('.git/')))
  await findLeftovers(await openRepository(repository.path))
  // What was applied names drivers, which only a configuration could give a meaning to: the user's git runs nothing either.
  spawnSync('sh', ['-c', TEMPT.replace(/; git fetch.*/, '')], { cwd: repository.path })
  assert.equal(existsSync(marks), false)
})

for (const spelling of ['.GIT', '.git ', '.git.', 'GIT~1', '.git::$INDEX_ALLOCATION', '.g\u200cit', 'sub/.Git']) {
  test(`a hook below ${JSON.stringify(spelling)}, which other file systems take for .git, refuses the whole change`, async (t) => {
    if (stage.weak !== false) return t.skip(stage.weak)
    using repository = makeRepository()
    // Outside: a copy that trusts names puts it where a file system without case or odd letters opens it as .git.
    const plain = await stage.onHost(
      `rm -rf copy from; mkdir -p 'from/${spelling}/hooks' copy; echo x >'from/${spelling}/hooks/post-checkout'; cp -a from/. copy; find copy -name post-checkout | grep .`,
    )
    assert.equal(plain.code, 0)
    const before = repository.workTreeState()
    const { apply } = await applyFrom('spelled', repository, `rm -rf ./* ./.[!.]*; mkdir -p '${spelling}/hooks'; echo x >'${spelling}/hooks/post-checkout'`)
    await assert.rejects(apply, (error) => error instanceof AutovibeError && error.code === 'apply.conflict')
    assert.equal(repository.workTreeState(), before)
  })
}

for (const [what, change, lands] of [
  ['a link out of the project', 'ln -s OUT/secret stolen', 'stolen'],
  ['a link to a folder outside, with a file to be written through it', 'ln -s OUT/drop way', 'way'],
  ['a link that climbs', 'mkdir -p d && ln -s ../../../../../../etc/passwd d/up', 'd/up'],
] as const) {
  test(`${what} is not applied`, async (t) => {
    if (stage.weak !== false) return t.skip(stage.weak)
    using repository = makeRepository()
    const script = change.replaceAll('OUT', stage.outside)
    // A copy that trusts links brings it along as it is.
    const plain = await stage.onHost(`rm -rf from copy; mkdir from copy; (cd from; ${script}); cp -a from/. copy; test -L copy/${lands}`)
    assert.equal(plain.code, 0)
    const { apply } = await applyFrom('links', repository, `rm -rf ./* ; printf 'one\\ntwo\\nthree\\n' >a.txt; ${script}`)
    await assert.rejects(apply, (error) => error instanceof AutovibeError && error.code === 'apply.conflict')
    assert.equal(existsSync(join(repository.path, lands)), false)
  })
}
