/** The six tools on real files and with real commands. */
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { LIST_LIMITS } from './list-files.ts'
import { READ_LIMITS } from './read-file.ts'
import { toolNamed } from './registry.ts'
import { SEARCH_LIMITS } from './search.ts'
import { ToolError, type ToolResult } from './tool.ts'

class Desk {
  readonly folder = realpathSync(mkdtempSync(join(tmpdir(), 'autovibe-tools-')))
  readonly project = join(this.folder, 'project')
  readonly abort = new AbortController()

  constructor(context: TestContext) {
    mkdirSync(this.project)
    context.after(() => rmSync(this.folder, { recursive: true, force: true }))
  }

  async use(name: string, input: Record<string, unknown>): Promise<ToolResult> {
    const tool = toolNamed(name)
    assert.ok(tool)
    return tool.run(input, { paths: { project: this.project, home: this.folder }, signal: this.abort.signal })
  }

  async refused(name: string, input: Record<string, unknown>): Promise<string> {
    try {
      return assert.fail(`it was done: ${(await this.use(name, input)).text}`)
    } catch (error) {
      if (error instanceof ToolError) return error.message
      throw error
    }
  }

  put(path: string, content: string): void {
    mkdirSync(join(this.project, path, '..'), { recursive: true })
    writeFileSync(join(this.project, path), content)
  }

  get(path: string): string {
    return readFileSync(join(this.project, path), 'utf8')
  }
}

test('no way leads out of the project: not by dots, not by an absolute path, not by a link, not by a link to nowhere', async (t) => {
  const desk = new Desk(t)
  writeFileSync(join(desk.folder, 'secret'), 'secret')
  symlinkSync(desk.folder, join(desk.project, 'up'))
  symlinkSync(join(desk.folder, 'not-there'), join(desk.project, 'dangling'))
  symlinkSync('loop', join(desk.project, 'loop'))
  for (const path of ['../secret', `${desk.folder}/secret`, 'up/secret', 'a/../../secret', 'up/new/file', 'dangling', '/etc/passwd']) {
    for (const [name, more] of [
      ['read_file', {}],
      ['write_file', { content: 'x' }],
      ['edit_file', { old_text: 'secret', new_text: 'x' }],
    ] as const) {
      assert.match(await desk.refused(name, { path, ...more }), /outside the project/, `${name} ${path}`)
    }
  }
  assert.match(await desk.refused('search', { pattern: 'secret', path: 'up' }), /outside/)
  assert.match(await desk.refused('list_files', { path: '..' }), /outside/)
  await desk.refused('write_file', { path: 'loop', content: 'x' })
  assert.equal(readFileSync(join(desk.folder, 'secret'), 'utf8'), 'secret')
  assert.equal(existsSync(join(desk.folder, 'not-there')), false)
})

test('the project may be named by its absolute path, and through a link to it', async (t) => {
  const desk = new Desk(t)
  await desk.use('write_file', { path: `${desk.project}/a/b.txt`, content: 'hello' })
  assert.equal(desk.get('a/b.txt'), 'hello')
})

test('read_file numbers lines, says where to go on, and refuses what is no text', async (t) => {
  const desk = new Desk(t)
  desk.put('long.txt', Array.from({ length: READ_LIMITS.lines + 5 }, (_, i) => `line ${i + 1}`).join('\n'))
  const first = await desk.use('read_file', { path: 'long.txt' })
  assert.match(first.text, new RegExp(`^1\\tline 1\\n.*\\[cut; go on with offset ${READ_LIMITS.lines + 1}\\]$`, 's'))
  assert.equal((await desk.use('read_file', { path: 'long.txt', offset: 3, limit: 1 })).text, '3\tline 3\n[cut; go on with offset 4]')
  desk.put('wide.txt', 'x'.repeat(READ_LIMITS.lineChars + 7))
  assert.match((await desk.use('read_file', { path: 'wide.txt' })).text, /\[… 7 characters left out\]$/)
  desk.put('empty', '')
  assert.equal((await desk.use('read_file', { path: 'empty' })).text, '[the file is empty]')
  desk.put('binary', 'a\0b')
  assert.match(await desk.refused('read_file', { path: 'binary' }), /binary/)
  assert.match(await desk.refused('read_file', { path: 'missing' }), /no such file/)
  await desk.use('shell', { command: 'mkfifo pipe' })
  assert.match(await desk.refused('read_file', { path: 'pipe' }), /not a regular file/)
})

test('edit_file changes exactly one place and leaves every other byte', async (t) => {
  const desk = new Desk(t)
  desk.put('a.txt', 'one\r\n$& two\r\ntwo\r\n')
  assert.match(await desk.refused('edit_file', { path: 'a.txt', old_text: 'two', new_text: 'x' }), /more than once/)
  assert.match(await desk.refused('edit_file', { path: 'a.txt', old_text: 'three', new_text: 'x' }), /does not stand/)
  await desk.use('edit_file', { path: 'a.txt', old_text: '$& two', new_text: '$1 zwei' })
  assert.equal(desk.get('a.txt'), 'one\r\n$1 zwei\r\ntwo\r\n')
  writeFileSync(join(desk.project, 'latin'), Buffer.from([0x61, 0xe4, 0x62]))
  assert.match(await desk.refused('edit_file', { path: 'latin', old_text: 'a', new_text: 'b' }), /not UTF-8/)
})

test('search finds lines by pattern, folder and file name, and never by history or installed packages', async (t) => {
  const desk = new Desk(t)
  desk.put('src/a.ts', 'const answer = 42\n')
  desk.put('src/b.js', 'answer\n')
  desk.put('node_modules/x/c.ts', 'answer\n')
  desk.put('.git/d', 'answer\n')
  assert.deepEqual((await desk.use('search', { pattern: 'ans(wer)' })).text.split('\n').sort(), ['src/a.ts:1:const answer = 42', 'src/b.js:1:answer'])
  assert.equal((await desk.use('search', { pattern: 'answer', path: 'src', glob: '*.js' })).text, 'src/b.js:1:answer')
  assert.equal((await desk.use('search', { pattern: 'nothing like it' })).text, '[nothing found]')
  assert.match(await desk.refused('search', { pattern: '(' }), /failed/)
  assert.equal((await desk.use('search', { pattern: '-e' })).text, '[nothing found]')
  desk.put('many', 'x\n'.repeat(SEARCH_LIMITS.lines + 3))
  assert.match((await desk.use('search', { pattern: 'x', path: 'many' })).text, /\[cut; 3 more lines match/)
})

test('list_files names the nearest first, does not enter links or packages, and says when it stops', async (t) => {
  const desk = new Desk(t)
  desk.put('z.txt', '')
  desk.put('a/b/c.txt', '')
  desk.put('node_modules/x/y', '')
  symlinkSync('.', join(desk.project, 'self'))
  assert.equal((await desk.use('list_files', {})).text, 'a/\nnode_modules/\nself\nz.txt\na/b/\na/b/c.txt')
  for (let i = 0; i <= LIST_LIMITS.entries; i++) desk.put(`many/${i}`, '')
  assert.match((await desk.use('list_files', { path: 'many' })).text, /\[cut after 1000 entries/)
})

test('shell gives output, exit code and what was left out, and has no input to wait for', async (t) => {
  const desk = new Desk(t)
  assert.deepEqual(await desk.use('shell', { command: 'echo out; echo err >&2; exit 3' }), {
    text: 'out\nerr\n[exit code 3]',
    isError: true,
    changedFiles: true,
  })
  assert.equal((await desk.use('shell', { command: 'cat' })).text, '[no output, exit code 0]')
  const long = (await desk.use('shell', { command: 'seq 1 100000' })).text
  assert.match(long, /^1\n2\n.*\[… \d+ bytes left out …\].*100000$/s)
  assert.ok(long.length < 31_000)
  assert.match((await desk.use('shell', { command: 'pwd' })).text, /project$/)
})

test('shell ends at its deadline with everything that it started, also what left its group and its parent', async (t) => {
  const desk = new Desk(t)
  const script = 'setsid sh -c "echo \\$\\$ > a; sleep 1000" & (setsid setsid sleep 1000 & echo $! > b) ; sleep 1000 & wait'
  const result = await desk.use('shell', { command: script, timeout_seconds: 1 })
  assert.match(result.text, /ended after 1 s/)
  for (const name of ['a', 'b']) assert.equal(isAlive(desk.get(name).trim()), false, name)
})

test('a command that leaves a process behind returns at once, and the process ends with it', async (t) => {
  const desk = new Desk(t)
  const result = await desk.use('shell', { command: '(trap "" HUP TERM; echo $BASHPID > pid; sleep 1000) & while [ ! -s pid ]; do :; done; echo started' })
  assert.equal(result.text, 'started')
  assert.equal(isAlive(desk.get('pid').trim()), false)
})

test('a tool says what is wrong with its input', async (t) => {
  const desk = new Desk(t)
  assert.match(await desk.refused('shell', {}), /"command" must be given/)
  assert.match(await desk.refused('shell', { command: 'ls', timeout_seconds: 0 }), /from 1 to 600/)
  assert.match(await desk.refused('read_file', { path: 'a', limit: 1.5 }), /whole number/)
  assert.match(await desk.refused('read_file', { path: 'a\0b' }), /NUL/)
})

function isAlive(pid: string): boolean {
  assert.match(pid, /^\d+$/)
  try {
    return !/^\d+ \(.*\) [ZX]/.test(readFileSync(`/proc/${pid}/stat`, 'latin1'))
  } catch {
    return false
  }
}
