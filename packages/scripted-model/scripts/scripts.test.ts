import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { loadScript, type ScriptedTool } from '../index.ts'

function project(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'demo-project-'))
  t.after(() => rmSync(folder, { recursive: true }))
  cpSync(join(import.meta.dirname, 'demo-project'), folder, { recursive: true })
  return folder
}

/** Passed and failed tests of a project, run as its own `npm test` does. */
function runTests(folder: string): { passed: number; failed: number } {
  // The variable would make the inner runner report to the outer one.
  const { NODE_TEST_CONTEXT: _, ...env } = process.env
  const { stdout } = spawnSync(process.execPath, ['--test', '--test-reporter=tap'], { cwd: folder, env, encoding: 'utf8' })
  const count = (what: string): number => Number(new RegExp(`^# ${what} (\\d+)$`, 'm').exec(stdout)?.[1])
  return { passed: count('pass'), failed: count('fail') }
}

async function calls(name: string, vars: Record<string, string> = {}): Promise<ScriptedTool[][]> {
  const script = await loadScript(join(import.meta.dirname, name), vars)
  assert.ok('Make the failing test pass'.includes(script.conversations[0]?.match ?? 'none'))
  return script.conversations[0]?.replies.map(({ tools }) => [...tools]) ?? []
}

function replaceOnce(path: string, before: unknown, after: unknown): void {
  const text = readFileSync(path, 'utf8')
  assert.equal(text.split(String(before)).length, 2, `once in ${path}: ${before}`)
  writeFileSync(
    path,
    text.replace(String(before), () => String(after)),
  )
}

test('the demo does what it says: one of three tests fails, the repair lets it pass, the new test passes and catches the old code', async t => {
  const folder = project(t)
  const original = readFileSync(join(folder, 'src/age.js'), 'utf8')
  const replies = await calls('demo.yaml')
  assert.deepEqual(
    replies.map(tools => tools.map(({ name }) => name)),
    [['list_files', 'read_file', 'read_file'], ['shell'], ['edit_file'], ['shell'], ['edit_file'], ['shell'], []],
  )
  const seen: { passed: number; failed: number }[] = []
  for (const { name, input } of replies.flat()) {
    if (name === 'edit_file') replaceOnce(join(folder, String(input['path'])), input['old_text'], input['new_text'])
    if (name === 'read_file') readFileSync(join(folder, String(input['path'])))
    if (name === 'shell') seen.push(runTests(folder))
  }
  assert.deepEqual(seen, [
    { passed: 2, failed: 1 },
    { passed: 3, failed: 0 },
    { passed: 4, failed: 0 },
  ])
  writeFileSync(join(folder, 'src/age.js'), original)
  assert.deepEqual(runTests(folder), { passed: 2, failed: 2 })
})

test('the repair by Claude Code names the files of its project by absolute paths and lets the tests pass', async t => {
  const folder = project(t)
  const replies = await calls('claude-code-edit.yaml', { project: folder })
  assert.deepEqual(
    replies.map(tools => tools.map(({ name }) => name)),
    [['Read'], ['Edit'], ['Bash'], []],
  )
  const edit = replies[1]?.[0]?.input ?? {}
  assert.equal(edit['file_path'], replies[0]?.[0]?.input['file_path'])
  replaceOnce(String(edit['file_path']), edit['old_string'], edit['new_string'])
  assert.deepEqual(runTests(folder), { passed: 3, failed: 0 })
})
