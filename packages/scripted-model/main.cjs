#!/usr/bin/env node
// How people start the scripted model: runs on any Node >= 18, as ./autovibe does, and hands over to main.ts under Node 24. (An older Node cannot even read main.ts.)
'use strict'
require('../../scripts/launch.cjs').launch('packages/scripted-model/main.ts', process.argv.slice(2))
