/** Style that matters is a test: words, file sizes, opening sentences, links in prose, and habits that make tests lie. */
import { deepEqual, ok } from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { glob } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { test } from 'node:test'

const root = dirname(import.meta.dirname)
const LINES_MAX = 300
/** Files that may be longer, with the length they may not exceed; a line here may only go away or shrink. */
const LONGER: Readonly<Record<string, number>> = {}

/** Written in two halves, so that this file does not find itself. */
const UNFINISHED = new RegExp(
  `\\b(${['TO', 'FIX', 'XX', 'HA'].map((half, index) => half + ['DO', 'ME', 'X', 'CK'][index]).join('|')})\\b|\\b${'st'}ub(s|bed)?\\b`,
)
/** Words that another word of the glossary replaces, only where they can mean nothing else. */
const OTHER_WORDS: readonly (readonly [RegExp, string])[] = [
  [/(?<!\.github\/)\b(saga|workflow)s?\b/i, 'operation'],
  [/\b(sandbox|workspace)_?ids?\b/i, 'machine'],
  [/\b(job|task)_?ids?\b/i, 'run or operation'],
  [/\b(turn)_?ids?\b/i, 'step'],
  [/\b(backup)_?ids?\b/i, 'checkpoint'],
  [/\bquota_?(id|limit)s?\b/i, 'budget'],
  [/\b(kill|delete|terminate)_?machines?\b/i, 'destroy'],
  [/\b(kill|delete|terminate)_?runs?\b/i, 'cancel'],
  [/\b(clone|restore)_?(machine|checkpoint)s?\b/i, 'fork or rollback'],
]
const HABITS: readonly { readonly name: string; readonly where: (file: string) => boolean; readonly pattern: RegExp }[] = [
  {
    name: 'no test waits for time to pass instead of an event',
    where: isTest,
    // A look repeated until something is there may pause in between; that pause stands on the line of its loop.
    pattern: /setTimeout\(\s*(resolve|done|r|res|ok)\b|^\s*await\s+(setTimeout|sleep|delay)\(/,
  },
  {
    name: 'no error is caught and dropped without a word',
    where: () => true,
    pattern: /catch\s*(\([^)]*\))?\s*\{\s*\}|\.catch\(\s*(\(\w*\)|\w+)\s*=>\s*\{\s*\}\s*\)/,
  },
  {
    name: 'only the command and the tools around it print to the console',
    where: (file) => !/^(packages\/cli|scripts|bench|test)\/|\.test\.ts$|\/(testing|faults)\/|\/test-[^/]*\.ts$/.test(file),
    pattern: /\bconsole\.(log|info|debug|warn|error)\(/,
  },
]

const code = await filesLike('{packages,scripts,test,bench}/**/*.{ts,cjs,mjs,sql}')
const typescript = code.filter(({ file }) => file.endsWith('.ts'))
const prose = await filesLike('{*.md,docs/**/*.md,packages/**/*.md,deploy/**/*.md,bench/**/*.md}')

test('the search for files finds the rooms of the house', () => {
  ok(typescript.some(({ file }) => file === 'packages/contract/index.ts'))
  ok(prose.some(({ file }) => file === 'CONTRIBUTING.md'))
})

test('no code says that it is unfinished', () => {
  deepEqual(linesLike(code, UNFINISHED), [])
})

test('code uses the words of the glossary and not their rivals', () => {
  const found = OTHER_WORDS.flatMap(([pattern, better]) => linesLike(code, pattern).map((line) => `${line}  (say ${better})`))
  deepEqual(
    found.filter((line) => !line.startsWith('test/tidy.test.ts')),
    [],
  )
})

test('no file grows beyond one idea', () => {
  const tooLong = typescript.filter(({ file, lines }) => lines.length > (LONGER[file] ?? LINES_MAX)).map(({ file, lines }) => `${file}: ${lines.length} lines`)
  deepEqual(tooLong, [])
})

test('the list of longer files only shrinks', () => {
  const stale = Object.keys(LONGER).filter((file) => (typescript.find((each) => each.file === file)?.lines.length ?? 0) <= LINES_MAX)
  deepEqual(stale, [])
})

test('each file opens with a sentence on what it is for', () => {
  // The names of a test file's tests say it already.
  const silent = typescript.filter(({ file, text }) => !isTest(file) && !/^(#!.*\n)?(\/\*\*?|\/\/)\s*\S+(\s+\S+){2,}/.test(text)).map(({ file }) => file)
  deepEqual(silent, [])
})

test('each path that prose names leads somewhere', () => {
  const broken = prose.flatMap(({ file, text }) =>
    namedPaths(file, text)
      .filter((path) => !existsSync(join(root, path)))
      .map((path) => `${file}: ${path}`),
  )
  deepEqual(broken, [])
})

test('each test name is a sentence of at least four words', () => {
  const short = typescript
    .filter(({ file }) => isTest(file))
    .flatMap(({ file, text }) => [...text.matchAll(/^\s*(?:await\s+)?(?:test|it)(?:\.\w+)?\(\s*(['"`])(.+?)\1/gm)].map((match) => `${file}: ${match[2]}`))
    .filter((line) => line.slice(line.indexOf(': ') + 2).split(/\s+/).length < 4)
  deepEqual(short, [])
})

for (const { name, where, pattern } of HABITS) {
  test(name, () => {
    const found = linesLike(
      code.filter(({ file }) => where(file) && file !== 'test/tidy.test.ts'),
      pattern,
    )
    deepEqual(found, [])
  })
}

interface TextFile {
  readonly file: string
  readonly text: string
  readonly lines: readonly string[]
}

async function filesLike(pattern: string): Promise<TextFile[]> {
  const files = await Array.fromAsync(glob(pattern, { cwd: root, exclude: (path) => /node_modules|\/fixtures\//.test(path) }))
  return files.sort().map((file) => {
    const text = readFileSync(join(root, file), 'utf8')
    return { file, text, lines: text.replace(/\n$/, '').split('\n') }
  })
}

function linesLike(files: readonly TextFile[], pattern: RegExp): string[] {
  return files.flatMap(({ file, lines }) => lines.flatMap((line, index) => (pattern.test(line) ? [`${file}:${index + 1}: ${line.trim()}`] : [])))
}

/** Targets of links, and back-quoted paths that begin with a room of the checkout. */
function namedPaths(file: string, text: string): string[] {
  const links = [...text.matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)].flatMap(([, target = '']) => (/^[a-z]+:/i.test(target) ? [] : [join(dirname(file), target)]))
  const quoted = [...text.matchAll(/`((?:packages|scripts|test|bench|docs|deploy|\.ci)\/[\w./-]+)`/g)].map(([, path = '']) => path)
  return [...links, ...quoted]
}

function isTest(file: string): boolean {
  return file.endsWith('.test.ts')
}
