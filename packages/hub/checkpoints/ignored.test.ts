/** The project's .gitignore files, judged beside the real git. */
import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { compare, GIT_ENV, run } from './testing/git.ts'

const RULES: Readonly<Record<string, string>> = {
  '.gitignore': 'node_modules/\n*.log\n/build\n!keep.log\ndocs/*.tmp\n# a comment\n\\#odd\n',
  'sub/.gitignore': '*.gen\n!important.log\n',
  'sub/deep/.gitignore': '!wanted.gen\n',
}
const ADDED = [
  'node_modules/a/index.js',
  'sub/node_modules/b.js',
  'error.log',
  'keep.log',
  'build/out.js',
  'sub/build/out.js',
  'docs/x.tmp',
  'sub/docs/x.tmp',
  '#odd',
  'sub/a.gen',
  'a.gen',
  'sub/important.log',
  'sub/other.log',
  'sub/deep/wanted.gen',
  'sub/deep/unwanted.gen',
  'src/new.ts',
  'node_modules.txt',
]

const write = async (project: string, path: string, text: string): Promise<void> => {
  await mkdir(dirname(join(project, path)), { recursive: true })
  await writeFile(join(project, path), text)
}

test('new files are marked as ignored exactly where git ignores them', async (t) => {
  const { changes, before } = await compare(
    t,
    async (project) => {
      for (const [path, text] of Object.entries(RULES)) await write(project, path, text)
    },
    async (project) => {
      for (const path of ADDED) await write(project, path, 'new\n')
    },
  )
  await run('git', ['init', '-q', before], { env: GIT_ENV })
  const byGit = async (path: string): Promise<boolean> =>
    run('git', ['-C', before, 'check-ignore', '-q', '--no-index', path], { env: GIT_ENV }).then(
      () => true,
      () => false,
    )
  const expected = await Promise.all(ADDED.map(async (path) => [path, await byGit(path)] as const))
  const told = new Map(changes.map(({ path, ignored }) => [path, ignored]))
  assert.deepEqual(
    expected.map(([path]) => [path, told.get(path)]),
    expected.map(([path, ignored]) => [path, ignored]),
  )
  assert.ok(expected.some(([, ignored]) => ignored) && expected.some(([, ignored]) => !ignored))
})

test('the rules of very many folders hold as those of a few do', async (t) => {
  const folders = Array.from({ length: 260 }, (_, index) => `d${index}`)
  const { changes } = await compare(
    t,
    async (project) => {
      for (const folder of folders) await write(project, `${folder}/.gitignore`, `of-${folder}\n`)
    },
    async (project) => {
      for (const folder of folders) for (const name of [`of-${folder}`, 'of-d0']) await write(project, `${folder}/${name}`, 'new\n')
    },
  )
  assert.deepEqual(
    changes
      .filter(({ ignored }) => ignored)
      .map(({ path }) => path)
      .sort(),
    folders.map((folder) => `${folder}/of-${folder}`).sort(),
  )
})

test('an agent cannot hide its work behind a .gitignore of its own', async (t) => {
  const { changes } = await compare(
    t,
    async (project) => write(project, 'a', 'x\n'),
    async (project) => {
      await write(project, '.gitignore', '*\n')
      await write(project, 'hidden.sh', 'curl\n')
    },
  )
  assert.deepEqual(
    changes.map(({ path, ignored }) => [path, ignored]),
    [
      ['.gitignore', false],
      ['hidden.sh', false],
    ],
  )
})
