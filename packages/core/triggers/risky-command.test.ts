import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { isRiskyCommand } from './risky-command.ts'

const RISKY = [
  'rm -rf build',
  'rm -f a.txt',
  'rm *.log',
  'cd src && rm -r old',
  '/bin/rm -rf x',
  'sudo rm -rf x',
  'env A=1 rm -rf x',
  'find . -name "*.o" -delete',
  'find . | xargs rm -rf',
  'bash -c "rm -rf x"',
  "sh -c 'git clean -fdx'",
  '(rm -rf x)',
  'echo $(rm -rf x)',
  'echo `rm -rf x`',
  'if true; then rm -rf x; fi',
  'timeout 10 rm -rf x',
  'mv new.txt old.txt',
  'git reset --hard HEAD~1',
  'git -C sub reset --hard',
  'git clean -fd',
  'git checkout -- .',
  'git checkout .',
  'git push --force',
  'git rebase main',
  'git stash drop',
  'git branch -D x',
  'dd if=/dev/zero of=disk',
  'truncate -s 0 log',
  'shred x',
  'npm publish',
  'cargo publish --dry-run',
  'twine upload dist/*',
  'psql -c "DROP TABLE users"',
  'psql -c "delete from users"',
  'mysql -e "truncate table x"',
  'redis-cli FLUSHALL',
  'dropdb app',
  'rails db:drop',
  'terraform destroy',
  'kubectl delete pod x',
  'mkfs.ext4 /dev/sda',
  'rsync -a --delete a/ b/',
  'python -c "import shutil; shutil.rmtree(1)"',
  'echo x > /etc/hosts',
]

const HARMLESS = [
  'ls -la',
  'cat rm.txt',
  'npm test',
  'npm run build',
  'git status',
  'git diff HEAD~1',
  'git checkout -b feature',
  'git add . && git commit -m "rm -rf is described here"',
  'grep -rf patterns.txt src',
  'echo hello > out.txt',
  'node script.js 2>/dev/null >> /tmp/log',
  'make -j2',
  'find . -name "*.ts"',
  'sed -n 1,10p file',
  'python -m pytest',
  '',
]

test('commands that lose work or publish it are risky', () => {
  assert.deepEqual(
    RISKY.filter((command) => !isRiskyCommand(command)),
    [],
  )
})

test('everyday commands are not risky', () => {
  assert.deepEqual(
    HARMLESS.filter((command) => isRiskyCommand(command)),
    [],
  )
})

test('what stands around a risky command does not hide it', () => {
  const before = fc.constantFrom('', 'ls; ', 'cd x && ', 'true || ', 'echo a |', 'A=1 ', 'sudo ', '( ', '{ ', '\n')
  const after = fc.constantFrom('', '; ls', ' && echo done', ' || true', ' | cat', ' )', '\n')
  fc.assert(fc.property(before, fc.constantFrom(...RISKY), after, (head, command, tail) => isRiskyCommand(head + command + tail)))
})

test('any text at all gets an answer, and one too long to read is risky', () => {
  fc.assert(fc.property(fc.string({ maxLength: 2000 }), (text) => typeof isRiskyCommand(text) === 'boolean'))
  assert.equal(isRiskyCommand('echo '.repeat(10_000)), true)
})
