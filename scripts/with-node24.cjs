// Runs a file of this checkout with Node 24 and the installed packages: `node scripts/with-node24.cjs FILE ARGS`.
'use strict'
const [file, ...args] = process.argv.slice(2)
if (file) require('./launch.cjs').launch(file, args)
else {
  process.stderr.write('usage: node scripts/with-node24.cjs FILE [ARGS]\n')
  process.exitCode = 2
}
