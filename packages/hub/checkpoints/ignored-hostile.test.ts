/** Rules and paths that an agent has chosen: they mean what git says they mean, and take no time that anybody else needs. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import fc from 'fast-check'
import { ignoredBy } from './ignored.ts'
import { GIT_ENV, run } from './testing/git.ts'
import { capture, folderEntry, type openStore, put, setUp } from './testing/place.ts'

type Files = Readonly<Record<string, string>>

async function asker(t: TestContext, rules: Files): Promise<(path: string) => Promise<boolean>> {
  const { store } = await setUp(t)
  return askerOf(store, rules)
}

async function askerOf(store: Awaited<ReturnType<typeof openStore>>, rules: Files): Promise<(path: string) => Promise<boolean>> {
  const paths = Object.keys(rules).map((path) => `project/${path}`)
  const folders = new Set(paths.flatMap((path) => path.split('/').map((_, index, names) => names.slice(0, index).join('/'))))
  folders.delete('')
  const changes = [
    ...[...folders].sort().map((path) => folderEntry(path)),
    ...Object.entries(rules).map(([path, text]) => put(`project/${path}`, Buffer.from(text, 'latin1'))),
  ]
  const { manifestSha256 } = await capture(
    store,
    null,
    (async function* () {
      yield* changes
    })(),
  )
  return ignoredBy(store, manifestSha256, 'project/')
}

test('stars over folders take no time by the power of their number', async (t) => {
  const isIgnored = await asker(t, { '.gitignore': `/${'a/**/'.repeat(12)}a/b\n${'**/a/'.repeat(12)}b\n${'*a'.repeat(40)}b\n` })
  const deep = 'a/'.repeat(200)
  assert.equal(await isIgnored(`${deep}c`), false)
  assert.equal(await isIgnored(`${deep}b`), true)
  assert.equal(await isIgnored('a'.repeat(255)), false)
})

test('everything else goes on while very many rules are asked about very many files', async (t) => {
  const isIgnored = await asker(t, { '.gitignore': `${'**/*a*a*a*a*'.repeat(5000)}c*\n`, 'a/.gitignore': '/*a*a*a*a*a*c*\n'.repeat(4000) })
  let turns = 0
  let isOver = false
  const turned = (async () => {
    for (; !isOver; turns++) await new Promise(setImmediate)
  })()
  for (let index = 0; index < 100; index++) assert.equal(await isIgnored(`a/${'a'.repeat(200)}${index}`), false)
  isOver = true
  await turned
  assert.ok(turns > 3, `${turns} turns`)
})

test('a file that rules could not be asked about with bounded effort is shown', async (t) => {
  const isIgnored = await asker(t, { '.gitignore': `*.log\n${'*a*a*a*a*a*c*\n'.repeat(4000)}` })
  assert.equal(await isIgnored('x.log'), true)
  assert.equal(await isIgnored(`${'a'.repeat(240)}.log`), false)
})

const name = fc.oneof({ weight: 3, arbitrary: fc.constantFrom('a', 'b', 'ab') }, fc.constantFrom('ba', 'aab', '.a', '-', 'a b', '\xc3\xa9', 'c]', '!a', '#a'))
const piece = fc.oneof(
  { weight: 6, arbitrary: name },
  { weight: 5, arbitrary: fc.constantFrom('/', '*', '?', '**', '**/', '/**', '/**/') },
  fc.constantFrom(
    '[ab]',
    '[!a]',
    '[^b]',
    '[a-c]',
    '[]a]',
    '[!]]',
    '[[:alpha:]]',
    '[[:punct:]x]',
    '[[:no:]]',
    '[a-',
    '[[:',
    '[\\]a]',
    '[a/b]',
    '[--a]',
    '[a-\\c]',
  ),
  fc.constantFrom('\\', '\\a', '\\*', '\\ ', '\\/', '\\[', ' ', '\r', '#', '!', '\xc3', '\0'),
)
const line = fc
  .tuple(fc.constantFrom('', '', '', '!', '/', '!/'), fc.array(piece, { minLength: 1, maxLength: 5 }), fc.constantFrom('', '', '/', ' ', '  '))
  .map(([start, pieces, end]) => `${start}${pieces.join('')}${end}`)
  // Behind a start that is literal, git 2.39 takes two stars for more than one even within a name, against its own manual.
  .filter((text) => !/^[^*?[\\]*[^/*?[\\]\*\*/.test(text.replace(/^!/, '')))
const file = fc.array(line, { minLength: 1, maxLength: 5 }).map((lines) => `${lines.join('\n')}\n`)
const folder = fc.array(fc.constantFrom('a', 'b', 'ab'), { maxLength: 3 }).map((names) => names.map((at) => `${at}/`).join(''))
const rulesOfFolders = fc.dictionary(folder, file, { minKeys: 1, maxKeys: 4 })
const pathOfFile = fc.tuple(folder, fc.array(name, { minLength: 1, maxLength: 3 })).map(([start, names]) => `${start}${names.join('/')}`)

test('rules of any form, in any folders, ignore what git ignores by them', async (t) => {
  const { store } = await setUp(t)
  let ignored = 0
  await fc.assert(
    fc.asyncProperty(rulesOfFolders, fc.uniqueArray(pathOfFile, { minLength: 1, maxLength: 100 }), async (byFolder, all) => {
      const rules = Object.fromEntries(Object.entries(byFolder).map(([at, text]) => [`${at}.gitignore`, text]))
      // What is a folder there is not asked about as a file.
      const paths = all.filter((path) => !Object.keys(rules).some((at) => at.startsWith(`${path}/`)))
      const isIgnored = await askerOf(store, rules)
      const told: string[] = []
      for (const path of paths) if (await isIgnored(Buffer.from(path, 'latin1').toString())) told.push(path)
      ignored += told.length
      assert.deepEqual(told, await byGit(rules, paths))
    }),
    { numRuns: 40 },
  )
  assert.ok(ignored > 0)
})

/** Which of the paths git ignores. */
async function byGit(rules: Files, paths: readonly string[]): Promise<string[]> {
  const place = await mkdtemp(join(tmpdir(), 'autovibe-rules-'))
  try {
    await run('git', ['init', '-q', place], { env: GIT_ENV })
    for (const [path, text] of Object.entries(rules)) {
      await mkdir(dirname(join(place, path)), { recursive: true })
      await writeFile(join(place, path), text, 'latin1')
    }
    return await new Promise((resolve, reject) => {
      const child = execFile('git', ['-C', place, 'check-ignore', '-z', '--stdin', '--no-index'], { env: GIT_ENV, encoding: 'latin1' }, (error, stdout) =>
        // 1: none of them.
        error && error.code !== 1 ? reject(error) : resolve(stdout.split('\0').slice(0, -1)),
      )
      child.stdin?.end(Buffer.from(paths.map((path) => `${path}\0`).join(''), 'latin1'))
    })
  } finally {
    await rm(place, { recursive: true, force: true })
  }
}
