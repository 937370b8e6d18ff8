// A lock between processes, so that two launchers at once take turns: a folder whose rename into place is atomic, with its owner written inside.
'use strict'
const fs = require('node:fs')
const path = require('node:path')
const { LaunchError, say } = require('./launch-error.cjs')

const POLL_MS = 200
const WAIT_MS = 15 * 60_000
const LEFTOVER_MS = 60 * 60_000

/** Runs `work` while no other process does the same under `lock`; a lock whose owner is dead is taken over.
 * Throws when another process keeps it for more than 15 minutes.
 * @template T
 * @param {string} lock path of the lock
 * @param {() => T | Promise<T>} work
 * @returns {Promise<T>} */
async function taking(lock, work) {
  fs.mkdirSync(path.dirname(lock), { recursive: true })
  const me = { token: `${process.pid}-${process.hrtime.bigint()}`, pid: process.pid, born: born(process.pid) }
  const giveUpAt = Date.now() + WAIT_MS
  for (let told = false; !acquire(lock, me); ) {
    const owner = readOwner(lock)
    if (!owner) continue
    if (!alive(owner)) {
      takeAway(lock, owner)
      continue
    }
    if (Date.now() > giveUpAt)
      throw new LaunchError(`Process ${owner.pid} has held ${lock} for too long.`, `end process ${owner.pid} if it hangs, then try again`, 3)
    if (!told) say(`Another autovibe (process ${owner.pid}) is setting up; waiting for it …`)
    told = true
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  }
  try {
    return await work()
  } finally {
    release(lock, me)
    clearLeftovers(lock)
  }
}

/** @typedef {{ token: string, pid: number, born: string }} Owner */

/** @param {string} lock @param {Owner} me @returns {boolean} */
function acquire(lock, me) {
  const mine = `${lock}.${me.token}`
  fs.mkdirSync(mine)
  fs.writeFileSync(path.join(mine, 'owner.json'), JSON.stringify(me))
  try {
    // A folder replaces only a missing or an empty one, and a held lock is never empty.
    fs.renameSync(mine, lock)
    return true
  } catch (error) {
    fs.rmSync(mine, { recursive: true, force: true })
    if (['ENOTEMPTY', 'EEXIST'].includes(/** @type {NodeJS.ErrnoException} */ (error).code ?? '')) return false
    throw error
  }
}

/** Moved aside in one step before it is emptied: an empty folder could be taken by another in the middle. @param {string} lock @param {Owner} me */
function release(lock, me) {
  fs.renameSync(lock, `${lock}.${me.token}`)
  fs.rmSync(`${lock}.${me.token}`, { recursive: true, force: true })
}

/** @param {string} lock @returns {Owner | undefined} */
function readOwner(lock) {
  try {
    return JSON.parse(fs.readFileSync(path.join(lock, 'owner.json'), 'utf8'))
  } catch (error) {
    // Released between two looks; the next attempt to acquire tells.
    if (/** @type {NodeJS.ErrnoException} */ (error).code === 'ENOENT') return undefined
    return { token: 'unreadable', pid: 0, born: '' }
  }
}

/** Moves a dead owner's lock aside under its own token: a second process that judged the same owner finds the name taken and so cannot move a newer lock.
 * @param {string} lock
 * @param {Owner} owner */
function takeAway(lock, owner) {
  try {
    fs.renameSync(lock, `${lock}.dead-${owner.token}`)
  } catch (error) {
    if (!['ENOENT', 'ENOTEMPTY', 'EEXIST'].includes(/** @type {NodeJS.ErrnoException} */ (error).code ?? '')) throw error
  }
}

/** @param {string} lock */
function clearLeftovers(lock) {
  const dir = path.dirname(lock)
  for (const name of fs.readdirSync(dir)) {
    const file = path.join(dir, name)
    if (name.startsWith(`${path.basename(lock)}.dead-`) && Date.now() - fs.statSync(file).mtimeMs > LEFTOVER_MS)
      fs.rmSync(file, { recursive: true, force: true })
  }
}

/** @param {Owner} owner @returns {boolean} */
function alive(owner) {
  if (!owner.pid) return false
  try {
    process.kill(owner.pid, 0)
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code === 'ESRCH') return false
  }
  return born(owner.pid) === owner.born
}

/** When a process started, so that a reused process id is told apart; empty where there is no /proc. @param {number} pid @returns {string} */
function born(pid) {
  try {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, 'utf8')
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? ''
  } catch {
    return ''
  }
}

module.exports = { taking }
