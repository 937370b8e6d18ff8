/** autovibe version: versions of the command, of Node, and of the Hub that runs. */
import { act, define } from './define.ts'

export const versionCommand = () => act(define('version', 'Show versions'), async () => (await import('../actions/version.ts')).version)
