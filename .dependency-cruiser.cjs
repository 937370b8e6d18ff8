// The walls between the rooms, as one table: who may import whom. `npm run check` fails on anything else, on any circle, and when the walls watch nothing.
'use strict'

/** Packages: imports go only downwards. The command starts the Hub and the scripted model by path, as processes of their own. */
const PACKAGES = {
  contract: [],
  core: ['contract'],
  sdk: ['contract'],
  'scripted-model': ['contract'],
  agent: ['contract', 'core'],
  guest: ['contract', 'core'],
  hub: ['contract', 'core'],
  cli: ['contract', 'sdk'],
}

const PORT = 'substrates/substrate\\.ts$'
/** Rooms of the Hub: what each may import of the others. The four doors never import one another, and nobody but main.ts imports a door or a concrete substrate. */
const HUB = {
  api: ['operations/', 'ledger/', 'checkpoints/', 'exec/', 'database/', 'security/', 'observability/'],
  door: ['operations/', 'metering/', 'ledger/', 'checkpoints/', 'exec/', 'database/', 'security/', 'observability/', PORT],
  gateway: ['operations/', 'ledger/', 'database/', 'security/', 'observability/'],
  egress: ['ledger/', 'database/'],
  scheduler: ['operations/', 'metering/', 'database/', 'observability/', PORT],
  operations: ['metering/', 'ledger/', 'checkpoints/', 'database/', 'observability/', PORT],
  metering: ['ledger/', 'database/', PORT],
  exec: ['operations/', 'database/'],
  ledger: ['database/'],
  checkpoints: ['database/', 'security/', 'paths/', PORT],
  substrates: ['paths/'],
  // What it has asked Proxmox for must outlive it.
  'substrates/proxmox': ['substrates/', 'database/'],
  paths: [],
  database: [],
  security: ['database/'],
  observability: ['database/'],
  agents: [],
}

/** Tests set up what main.ts otherwise puts together. */
const TESTS = '(\\.test\\.ts|/testing\\.ts|/testing/.*|/test/.*|/faults/.*|/test-[^/]*\\.ts|/conformance[^/]*\\.ts)$'
const INPUT_OUTPUT = '^(fs|child_process|net|http|https|http2|tls|dns|dgram|os|process|timers|worker_threads|cluster)$|^(fs|dns|timers)/promises$'

/** @param {string} name @param {string} comment @param {object} from @param {object} to */
const forbid = (name, comment, from, to) => ({ name, comment, severity: 'error', from, to })

const packageWalls = Object.entries(PACKAGES).map(([room, allowed]) =>
  forbid(
    `package-${room}`,
    `${room} may import ${allowed.join(', ') || 'nothing of ours'}`,
    { path: `^packages/${room}/`, pathNot: TESTS },
    {
      path: '^packages/',
      pathNot: [room, ...allowed].map((name) => `^packages/${name}/`),
    },
  ),
)

const hubWalls = Object.entries(HUB).map(([room, allowed]) =>
  forbid(
    `hub-${room}`,
    `hub/${room} may import ${['runtime.ts', ...allowed].join(', ')}`,
    {
      path: `^packages/hub/${room}/`,
      pathNot: [TESTS, ...Object.keys(HUB).flatMap((other) => (other.startsWith(`${room}/`) ? [`^packages/hub/${other}/`] : []))],
    },
    {
      path: '^packages/hub/',
      pathNot: ['^packages/hub/runtime\\.ts$', ...[`${room}/`, ...allowed].map((name) => `^packages/hub/${name}`)],
    },
  ),
)

module.exports = {
  forbidden: [
    ...packageWalls,
    ...hubWalls,
    forbid(
      'hub-room-without-walls',
      'each folder of the Hub has a line in the table above',
      { path: `^packages/hub/(?!(${Object.keys(HUB).join('|')})/)[^/]+/`, pathNot: TESTS },
      { path: '^packages/hub/' },
    ),
    forbid(
      'hub-main-is-the-top',
      'nobody imports main.ts, and only main.ts imports the files beside it',
      { path: '^packages/hub/[^/]+/', pathNot: TESTS },
      {
        path: '^packages/hub/[^/]+\\.ts$',
        pathNot: '^packages/hub/runtime\\.ts$',
      },
    ),
    forbid(
      'substrates-apart',
      'one substrate knows nothing of another',
      { path: '^packages/hub/substrates/([^/]+)/', pathNot: TESTS },
      {
        path: '^packages/hub/substrates/[^/]+/',
        pathNot: '^packages/hub/substrates/$1/',
      },
    ),
    forbid(
      'core-decides-only',
      'core has no input, output or clock of its own',
      { path: '^packages/(core|contract)/', pathNot: TESTS },
      { path: INPUT_OUTPUT },
    ),
    forbid('sdk-fetches-only', 'the SDK runs wherever there is fetch', { path: '^packages/sdk/', pathNot: TESTS }, { dependencyTypes: ['core'] }),
    forbid(
      'tests-are-leaves',
      'what ships never imports a test, nor what stands in test/ for tests',
      { path: '^packages/', pathNot: TESTS },
      { path: [TESTS, '^test/'] },
    ),
    forbid(
      'no-circles',
      'files that need one another to run are one file; an arrow of types alone may point back',
      {},
      { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    ),
    forbid('nothing-unresolvable', 'an import that leads nowhere', {}, { couldNotResolve: true }),
  ],
  options: {
    parser: 'swc',
    doNotFollow: { path: ['node_modules', '^test/'] },
    exclude: { path: '(^|/)node_modules/(?!@autovibe/)' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'node', 'default'], extensions: ['.ts', '.js', '.json'] },
  },
}
