import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import test, { after } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Problem } from '@autovibe/contract'
import { buildProgram, withChildren } from './program.ts'

const MAIN = fileURLToPath(new URL('./main.ts', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'autovibe-test-cli-'))
after(() => rmSync(folder, { recursive: true, force: true }))

const dataDir = join(folder, 'data')
const repository = join(folder, 'repository')
const empty = join(folder, 'empty')
for (const path of [repository, empty]) execFileSync('git', ['init', '--quiet', path])
execFileSync('git', ['-c', 'user.name=t', '-c', 'user.email=t@localhost', 'commit', '--quiet', '--allow-empty', '-m', 'first'], { cwd: repository })

interface Result {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** The real command, in an environment of its own. */
function autovibe(args: readonly string[], env: NodeJS.ProcessEnv = {}, cwd = folder): Promise<Result> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [MAIN, ...args], {
      cwd,
      env: { PATH: `${dirname(process.execPath)}${delimiter}${process.env['PATH']}`, HOME: folder, AUTOVIBE_DATA_DIR: dataDir, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let [stdout, stderr] = ['', '']
    child.stdout.on('data', (chunk: Buffer) => {
      stdout += chunk
    })
    child.stderr.on('data', (chunk: Buffer) => {
      stderr += chunk
    })
    child.once('error', reject)
    child.once('close', (code) => resolve({ code, stdout, stderr }))
  })
}

/** A failure with --json: nothing on standard output, one problem document on standard error. */
function problemOf({ code, stdout, stderr }: Result) {
  assert.equal(stdout, '')
  const lines = stderr.trim().split('\n')
  assert.equal(lines.length, 1, stderr)
  return { exit: code, ...Problem.parse(JSON.parse(lines[0] ?? '')) }
}

const run = ['run', 'do it', '--project', repository, '--budget', '1']
const WRONG: readonly (readonly [string, readonly string[], string, number])[] = [
  ['an unknown command', ['rnu'], 'request.invalid', 2],
  ['an unknown option', ['ps', '--al'], 'request.invalid', 2],
  ['a missing argument', ['run'], 'request.invalid', 2],
  ['too many arguments', ['ps', 'x'], 'request.invalid', 2],
  ['a group without its command', ['checkpoint'], 'request.invalid', 2],
  ['an unknown command of a group', ['budget', 'sett'], 'request.invalid', 2],
  ['a project that does not exist', ['run', 'x', '--budget', '1', '--project', join(folder, 'missing')], 'project.source_invalid', 2],
  ['a project that is no git repository', ['run', 'x', '--budget', '1', '--project', folder], 'project.source_invalid', 2],
  ['a repository without commits', ['run', 'x', '--budget', '1', '--project', empty], 'project.source_invalid', 2],
  ['no budget', ['run', 'x', '--project', repository], 'request.invalid', 2],
  ['a budget of nothing', ['run', 'x', '--project', repository, '--budget', '0'], 'request.invalid', 2],
  ['a budget that is no amount', ['run', 'x', '--project', repository, '--budget', 'abc'], 'request.invalid', 2],
  ['a negative budget', ['run', 'x', '--project', repository, '--budget=-1'], 'request.invalid', 2],
  ['an empty prompt', ['run', '  ', '--project', repository, '--budget', '1'], 'request.invalid', 2],
  ['an unknown agent', [...run, '--agent', 'claude'], 'agent.unknown', 2],
  ['a provider without a key', run, 'provider.key_missing', 2],
  ['an impossible name of a provider', [...run, '--provider', 'A B'], 'request.invalid', 2],
  ['an impossible name of a project', [...run, '--name', '-x'], 'request.invalid', 2],
  ['something that is no checkpoint', [...run, '--from', 'ckp_1'], 'request.invalid', 2],
  ['a new project in an old machine', [...run, '--machine', 'm'], 'request.invalid', 2],
  ['no Hub to list machines of', ['ps'], 'hub.unreachable', 3],
  ['no Hub to follow', ['attach'], 'hub.unreachable', 3],
  ['no log of a Hub', ['logs', '--hub'], 'not_found', 5],
  ['a log of the Hub that shall be followed', ['logs', '--hub', '--follow'], 'request.invalid', 2],
  ['a number of lines that is none', ['logs', '--hub', '--tail', 'x'], 'request.invalid', 2],
  ['a checkpoint that is none', ['rollback', 'm', 'x'], 'request.invalid', 2],
  ['an operation that is none', ['operation', 'show', 'x'], 'request.invalid', 2],
  ['an unknown state of operations', ['operation', 'list', '--state', 'stuk'], 'request.invalid', 2],
  ['a port that is none', ['up', '--port', '99999'], 'request.invalid', 2],
  ['a port that is a word', ['demo', '--port', 'abc'], 'request.invalid', 2],
  ['a data directory where no folder can be', ['up', '--data-dir', '/proc/foo/bar'], 'request.invalid', 2],
  ['a data directory that takes no files', ['up', '--data-dir', '/proc'], 'request.invalid', 2],
  ['a data directory that is a file', ['up', '--data-dir', join(repository, '.git', 'HEAD')], 'request.invalid', 2],
  ['a data directory that cannot be', ['up', '--data-dir', join(repository, '.git', 'HEAD', 'x')], 'request.invalid', 2],
  ['no Hub to show the budgets of', ['budget'], 'hub.unreachable', 3],
  ['a budget set to nothing at all', ['budget', 'set', 'organisation'], 'request.invalid', 2],
  ['a period that is none', ['budget', 'set', 'organisation', '5', '--period', 'hourly'], 'request.invalid', 2],
  ['a percentage that is none', ['budget', 'set', 'organisation', '--warn-at', '50,100'], 'request.invalid', 2],
  ['a greediness above all', ['budget', 'set', 'project:x', '--greediness', '1.5'], 'request.invalid', 2],
  ['some models and any at once', ['project', 'models', 'x', '--any', '--allow', 'm'], 'request.invalid', 2],
  ['a price of nothing', ['project', 'price', 'x', 'm'], 'request.invalid', 2],
  ['an unknown agent to install', ['agent', 'install', 'clade-code'], 'agent.unknown', 2],
  ['a checkout that does not exist to apply to', ['apply', '--project', join(folder, 'missing')], 'project.source_invalid', 2],
  ['a provider of no known wire', ['provider', 'set', 'x', '--wire', 'telex'], 'request.invalid', 2],
  ['a provider at no address', ['provider', 'set', 'x', '--base-url', 'nowhere'], 'request.invalid', 2],
  ['a key in a variable that is not set', ['provider', 'set', 'x', '--key-env', 'NOT_SET'], 'request.invalid', 2],
  ['a key and none at once', ['provider', 'set', 'x', '--no-key', '--key-env', 'PATH'], 'request.invalid', 2],
]

for (const [what, args, code, exit] of WRONG) {
  test(`${what}: one error with a code, a fix and its exit code, and nothing is changed`, async () => {
    const [people, program] = await Promise.all([autovibe(args), autovibe([...args, '--json'])])
    const problem = problemOf(program)
    assert.deepEqual([problem.code, problem.exit, people.code], [code, exit, exit])
    assert.ok(problem.fix, 'it says how to fix it')
    assert.ok(people.stderr.includes(problem.fix) && people.stderr.includes(problem.detail.slice(0, 40)))
    assert.equal(people.stdout.includes(problem.detail), false)
    assert.equal(existsSync(dataDir), false)
  })
}

test('an address of a template that is none names its flag, and so does a gateway that it does not reach', async () => {
  const build = ['substrate', 'template', 'build', 'lab', '--node', 'pve1', '--image-storage', 'local', '--json']
  for (const [more, named] of [
    [['--ip', '192.0.2.300/24,gw=192.0.2.1', '--nameserver', '192.0.2.53'], /^--ip, its address: /],
    [['--ip', '192.0.2.30/24,gw=192.0.2', '--nameserver', '192.0.2.53'], /^--ip, its gateway: /],
    [['--ip', '192.0.2.30/24,gw=198.51.100.1', '--nameserver', '192.0.2.53'], /^--ip, its gateway: must be another address in the network/],
    [['--ip', '192.0.2.30/24,gw=192.0.2.30', '--nameserver', '192.0.2.53'], /^--ip, its gateway: /],
    [['--ip', '192.0.2.30/24,gw=192.0.2.1', '--nameserver', 'dns'], /^--nameserver: /],
    [['--ip', '192.0.2.30/24,gw=192.0.2.1'], /--nameserver/],
    [['--abandon', '--use'], /^--abandon .*--use/],
  ] as const) {
    const problem = problemOf(await autovibe([...build, ...more]))
    assert.equal(problem.code, 'request.invalid')
    assert.match(problem.detail, named)
  }
})

test('a near miss is guessed', async () => {
  for (const [args, guess] of [
    [['rnu'], 'run'],
    [['chekpoint'], 'checkpoint'],
    [[...run, '--agent', 'claude'], 'claude-code'],
    [['operation', 'list', '--state', 'stuk'], 'stuck'],
  ] as const)
    assert.match((await autovibe(args)).stderr, new RegExp(guess))
})

test('a mistyped word is mended in the fix, with the rest of the line as it was', async () => {
  for (const [args, fix] of [
    [['rnu', "don't stop", '--budget', '1'], "autovibe run 'don'\\''t stop' --budget 1"],
    [['checkpoint', 'lst'], 'autovibe checkpoint list'],
    [['--data-dir', 'x', 'ps', '--al'], 'autovibe --data-dir x ps --all'],
    [['checkpoint', 'sow', 'sow'], 'autovibe checkpoint --help'],
    [['xyzzy'], 'autovibe --help'],
  ] as const)
    assert.equal(problemOf(await autovibe([...args, '--json'])).fix, fix)
})

test('a mistake is one sentence with one full stop', async () => {
  const { detail } = problemOf(await autovibe(['ps', 'a', 'b', '--json']))
  assert.equal(detail, "Too many arguments for 'ps'. Expected 0 arguments but got 2: a, b.")
  assert.match(
    problemOf(await autovibe(['machine', '--json'])).detail,
    /needs one of its commands: list, show, limits, stop, start, archive, archives, remove-archive, destroy\.$/,
  )
})

test('help is a word too, before a command and within a group', async () => {
  for (const [words, option] of [
    [['help'], ['--help']],
    [
      ['help', 'run'],
      ['run', '--help'],
    ],
    [
      ['help', 'checkpoint', 'list'],
      ['checkpoint', 'list', '--help'],
    ],
    [
      ['checkpoint', 'help', 'list'],
      ['checkpoint', 'list', '--help'],
    ],
    [
      ['budget', 'help'],
      ['budget', '--help'],
    ],
  ]) {
    const asked = await autovibe(words ?? [])
    assert.deepEqual([asked.code, asked.stderr], [0, ''], words?.join(' '))
    assert.deepEqual(asked, await autovibe(option ?? []))
  }
  assert.equal((await autovibe(['help', 'rnu'])).code, 2)
})

test('the options that all commands take are taken before the command too', async () => {
  const { code, stdout } = await autovibe(['--json', '--data-dir', join(folder, 'elsewhere'), 'down'])
  assert.deepEqual([code, JSON.parse(stdout).data_dir], [0, join(folder, 'elsewhere')])
})

test('what helps is told as the command was called, so that it can be pasted', async () => {
  for (const [typed, path, told] of [
    ['./autovibe', '', './autovibe up'],
    ['/opt/here/autovibe', '', '/opt/here/autovibe up'],
    ['/opt/here/autovibe', `${delimiter}/opt/here`, 'autovibe up'],
    ['/usr/bin/npm', '', 'autovibe up'],
  ] as const) {
    const { stderr } = await autovibe(['ps'], { _: typed, PATH: `${dirname(process.execPath)}${path}` })
    assert.ok(stderr.includes(`Fix: ${told}\n`), stderr)
  }
})

test('every command has its --help, without touching anything', async () => {
  const commands = withChildren(buildProgram()).flatMap((command) => {
    const names: string[] = []
    for (let at: typeof command | null = command; at?.parent; at = at.parent) names.unshift(at.name())
    return names.length > 0 ? [names] : []
  })
  assert.ok(commands.length > 25)
  for (const names of commands) {
    const { code, stdout, stderr } = await autovibe([...names, '--help'])
    assert.deepEqual([code, stderr], [0, ''], names.join(' '))
    assert.match(stdout, new RegExp(`^Usage: autovibe ${names.join(' ')}`))
  }
  assert.equal(existsSync(dataDir), false)
})

test('without a command there is help, with --version the version, both on standard output', async () => {
  const help = await autovibe([])
  assert.deepEqual([help.code, help.stderr], [0, ''])
  assert.match(help.stdout, /Every day:/)
  const version = await autovibe(['--version'])
  assert.match(version.stdout, /^[0-9]+\.[0-9]+\.[0-9]+\n$/)
})

test('version and doctor work without a Hub', async () => {
  const version = await autovibe(['version', '--json'])
  assert.deepEqual([version.code, JSON.parse(version.stdout).hub], [0, null])
  const doctor = await autovibe(['doctor', '--json'])
  const { findings } = JSON.parse(doctor.stdout) as { findings: { name: string }[] }
  for (const name of ['Node', 'git', 'bubblewrap', 'data directory', 'disk', 'port', 'process'])
    assert.ok(
      findings.some((finding) => finding.name === name),
      name,
    )
  assert.equal(existsSync(dataDir), false)
})

test('a port that is none is told by where it stands, by doctor too', async () => {
  const env = { AUTOVIBE_PORT: 'x' }
  const refused = problemOf(await autovibe(['up', '--json'], env))
  assert.match(`${refused.detail} ${refused.fix}`, /"x".*AUTOVIBE_PORT.*export AUTOVIBE_PORT=/)
  const { code, stdout } = await autovibe(['doctor', '--json', '--data-dir', '/proc/foo'], env)
  const { findings } = JSON.parse(stdout) as { findings: { name: string; status: string }[] }
  const failed = findings.filter(({ status }) => status === 'failed').map(({ name }) => name)
  assert.deepEqual([code, failed.includes('port'), failed.includes('data directory')], [1, true, true])
})

test('down without a Hub is no error, and --purge keeps its hands off a folder that is not ours', async () => {
  assert.deepEqual(JSON.parse((await autovibe(['down', '--json'])).stdout), { data_dir: dataDir, stopped: false, machines: [], purged: false })
  const precious = join(folder, 'precious')
  mkdirSync(precious)
  writeFileSync(join(precious, 'thesis.txt'), 'x')
  const refused = await autovibe(['down', '--purge', '--yes', '--data-dir', precious, '--json'])
  assert.equal(problemOf(refused).code, 'request.invalid')
  assert.ok(existsSync(join(precious, 'thesis.txt')))
  mkdirSync(join(precious, 'postgres'))
  assert.equal(problemOf(await autovibe(['down', '--purge', '--yes', '--data-dir', precious, '--json'])).code, 'request.invalid')
  assert.ok(existsSync(join(precious, 'postgres')))
})

test('--purge asks, and where nobody can be asked it refuses without --yes', async () => {
  const old = join(folder, 'old')
  mkdirSync(old)
  writeFileSync(join(old, 'hub.log'), '')
  assert.match(problemOf(await autovibe(['down', '--purge', '--data-dir', old, '--json'])).fix ?? '', /--yes/)
  assert.ok(existsSync(old))
  assert.equal((await autovibe(['down', '--purge', '--yes', '--data-dir', old])).code, 0)
  assert.equal(existsSync(old), false)
})

test('colours are for terminals, and NO_COLOR wins over FORCE_COLOR', async () => {
  const colour = '\u001b['
  assert.equal((await autovibe(['doctor'])).stdout.includes(colour), false)
  assert.equal((await autovibe(['doctor'], { FORCE_COLOR: '1' })).stdout.includes(colour), true)
  assert.equal((await autovibe(['doctor'], { FORCE_COLOR: '1', NO_COLOR: '1' })).stdout.includes(colour), false)
})

test('a missing git is said in so many words', async () => {
  const bin = join(folder, 'bin')
  mkdirSync(bin)
  symlinkSync(process.execPath, join(bin, 'node'))
  const result = await autovibe([...run, '--json'], { PATH: bin })
  assert.match(problemOf(result).detail, /git is not installed/)
})

test('a settings file with a mistake is named with the setting that was meant', async () => {
  const config = join(folder, 'config')
  mkdirSync(join(config, 'autovibe'), { recursive: true })
  writeFileSync(join(config, 'autovibe', 'config.json'), '{"bugdet": "1"}')
  const problem = problemOf(await autovibe([...run, '--json'], { XDG_CONFIG_HOME: config }))
  assert.match(problem.detail, /config\.json/)
  assert.match(problem.fix ?? '', /"budget"/)
})
