import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { reference } from './reference.ts'

test('help loads neither the schemas nor a client', () => {
  const script = `
    import { registerHooks } from 'node:module'
    const seen = []
    registerHooks({ load: (url, context, next) => { seen.push(url); return next(url, context) } })
    const { buildProgram } = await import(${JSON.stringify(new URL('./program.ts', import.meta.url).href)})
    buildProgram().helpInformation()
    console.log(JSON.stringify(seen))`
  const seen = JSON.parse(execFileSync(process.execPath, ['--input-type=module', '--eval', script]).toString()) as string[]
  assert.ok(seen.some((url) => url.endsWith('/commands/run.ts')))
  assert.deepEqual(
    seen.filter((url) => /zod|packages\/(contract|sdk)|clack/.test(url)),
    [],
  )
})

test('the reference page is what the commands say', () => {
  assert.equal(readFileSync(new URL('../../docs/reference/cli.md', import.meta.url), 'utf8'), reference(), 'Fix: node packages/cli/reference.ts')
})
