/** The storages of a node: what there is, how full, what lies in them, and what is put there. */
import { createHash } from 'node:crypto'
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { badParameters, died, listOf, passes } from './answers.ts'
import type { Call, Endpoints } from './call.ts'
import { type Content, formatsOf, isFileBased, type Storage, storageOf, type Volume } from './storages.ts'
import { filePath } from './vm-drives.ts'
import { checkVolume } from './vm-permissions.ts'
import { freeVolume } from './volumes.ts'

const EXTENSIONS: Readonly<Record<string, RegExp>> = {
  iso: /\.(?:iso|img)$/i,
  vztmpl: /\.tar(?:\.(?:gz|xz|zst|bz2))?$/,
  import: /^[A-Za-z0-9\-_.+=]+\.(?:ova|qcow2|raw|vmdk)$/,
}

export const STORAGE_ENDPOINTS: Endpoints = {
  'GET /nodes/{node}/storage': list,
  'GET /nodes/{node}/storage/{storage}': () =>
    ['status', 'content', 'upload', 'download-url', 'rrd', 'rrddata', 'prunebackups', 'file-restore', 'import-metadata', 'oci-registry-pull'].map((subdir) => ({
      subdir,
    })),
  'GET /nodes/{node}/storage/{storage}/status': (call) => {
    const storage = call.cluster.storages.find(call.parameters.required('storage'))
    if (!storage) throw badParameters({ storage: 'No such storage.' })
    return status(call, storage)
  },
  'GET /nodes/{node}/storage/{storage}/content': content,
  'PUT /nodes/{node}/storage/{storage}/content/{volume}': change,
  'DELETE /nodes/{node}/storage/{storage}/content/{volume}': remove,
  'POST /nodes/{node}/storage/{storage}/upload': upload,
  'POST /nodes/{node}/storage/{storage}/download-url': download,
}

const visible = (call: Call, storage: Storage): boolean =>
  call.access.may(call.who, `/storage/${storage.id}`, ['Datastore.Audit', 'Datastore.AllocateSpace'], true)
const on = (storage: Storage, node: string): boolean => !storage.disabled && (storage.nodes === null || storage.nodes.includes(node))

function list(call: Call): unknown {
  const { parameters, node } = call
  const wanted = listOf(parameters.text('content'))
  const only = parameters.text('storage')
  const target = parameters.text('target')
  if (only !== undefined && !call.cluster.storages.find(only)) throw badParameters({ storage: 'No such storage.' })
  return call.cluster.storages.all
    .filter((storage) => (only === undefined || storage.id === only) && visible(call, storage))
    .filter((storage) => wanted.length === 0 || (on(storage, node) && wanted.some((each) => storage.content.includes(each as Content))))
    .filter((storage) => !parameters.flag('enabled') || !storage.disabled)
    .filter((storage) => target === undefined || target === node || (storage.shared && on(storage, node) && on(storage, target)))
    .map((storage) => ({
      storage: storage.id,
      ...status(call, storage),
      ...(parameters.flag('format') ? { formats: { supported: [...formatsOf(storage)].sort(), default: formatsOf(storage)[0] } } : {}),
    }))
}

function status(call: Call, storage: Storage): Record<string, unknown> {
  const active = on(storage, call.node)
  const used = active ? call.cluster.storages.usedBytes(storage, call.node) : 0
  const total = active ? storage.totalBytes : 0
  return {
    type: storage.type,
    content: storage.content.join(','),
    shared: storage.shared ? 1 : 0,
    active: active ? 1 : 0,
    enabled: active ? 1 : 0,
    total,
    used,
    avail: total - used,
    ...(total === 0 ? {} : { used_fraction: used / total }),
  }
}

function content(call: Call): unknown {
  const storage = call.cluster.storages.enabled(call.parameters.required('storage'), call.node)
  const kind = call.parameters.text('content')
  const vmid = call.parameters.number('vmid')
  // What one may not read is not there.
  const readable = (volume: Volume): boolean => passes(() => checkVolume(call, volume.volid, null))
  return call.cluster.storages
    .volumes(storage, call.node)
    .filter((volume) => (kind === undefined || volume.content === kind) && (vmid === undefined || volume.vmid === vmid) && readable(volume))
    .map((volume) => ({
      volid: volume.volid,
      content: volume.content,
      format: volume.content === 'iso' ? 'iso' : volume.content === 'backup' ? (storage.type === 'pbs' ? 'pbs-vm' : 'vma.zst') : volume.disk.format,
      size: volume.disk.sizeBytes,
      ctime: volume.createdAt,
      ...(volume.vmid === null ? {} : { vmid: volume.vmid }),
      ...(volume.parent === null ? {} : { parent: volume.parent.slice(storage.id.length + 1) }),
      // The first line of them alone.
      ...(volume.notes === undefined ? {} : { notes: volume.notes.split('\n')[0] }),
      ...(volume.protected === true ? { protected: 1 } : {}),
      ...(volume.verification === undefined ? {} : { verification: volume.verification }),
    }))
}

function volumeNamed({ parameters }: Call): { storage: string; volid: string } {
  const storage = parameters.required('storage')
  const named = parameters.required('volume')
  const volid = named.includes(':') ? named : `${storage}:${named}`
  if (storageOf(volid) !== storage) throw badParameters({ storage: `storage ID missmatch` })
  return { storage, volid }
}

/** The notes and the protection of a backup. */
function change(call: Call): void {
  const { cluster, parameters } = call
  const { volid } = volumeNamed(call)
  checkVolume(call, volid, null)
  const volume = cluster.storages.volume(volid, call.node)
  if (volume?.content !== 'backup') throw died(`cannot change the attributes of '${volid}'`)
  const notes = parameters.text('notes')
  if (notes !== undefined) volume.notes = notes
  if (parameters.text('protected') !== undefined) volume.protected = parameters.flag('protected')
}

function remove(call: Call): string {
  const { cluster, access, who } = call
  const { storage, volid } = volumeNamed(call)
  const volume = cluster.storages.volume(volid, call.node)
  // Whose backup it is says its name, also of one that is gone.
  const [, owner] = /:backup\/(?:vm\/|vzdump-qemu-)(\d+)[/-]/.exec(volid) ?? []
  if (owner !== undefined) {
    access.check(who, `/storage/${storage}`, ['Datastore.AllocateSpace'])
    access.check(who, `/vms/${owner}`, ['VM.Backup'])
  } else access.check(who, `/storage/${storage}`, ['Datastore.Allocate'])
  return call.start('imgdel', `${volume?.vmid ? `${volume.vmid}@` : ''}${storage}`, async (worker) => {
    if (volume?.protected === true) throw died(`cannot remove protected volume '${volume.volid.slice(storage.length + 1)}' on '${storage}'`)
    await freeVolume(cluster, call.node, volid)
    worker.print(`Removed volume '${volid}'`)
  })
}

/** The storage that takes files of this kind, and the name that the file will have there. */
function destination(call: Call): { storage: Storage; volid: string; kind: Content } {
  const storage = call.cluster.storages.enabled(call.parameters.required('storage'), call.node)
  if (!isFileBased(storage)) throw died(`can't upload to storage type '${storage.type}'`)
  const kind = call.parameters.required('content') as Content
  const filename = (call.parameters.required('filename').split(/[/\\]/).at(-1) ?? '')
    .trim()
    .replaceAll(/\s/g, '_')
    .replaceAll(/[^-a-zA-Z0-9_.+=]/g, '_')
  if (!EXTENSIONS[kind]?.test(filename)) throw badParameters({ filename: kind === 'import' ? 'invalid filename or wrong extension' : 'wrong file extension' })
  if (!storage.content.includes(kind)) throw died(`storage '${storage.id}' does not support '${kind}' content`)
  return { storage, volid: `${storage.id}:${kind}/${filename}`, kind }
}

function upload(call: Call): string {
  const file = call.upload
  if (!file) throw died('missing temporary file name')
  const place = destination(call)
  return call.start('imgcopy', '', async (worker) => {
    worker.print(`starting file import from: /var/tmp/pveupload-${'0'.repeat(32)}`)
    await store(call, place, await readFile(file.path))
    worker.print(`file size is: ${file.sizeBytes}`)
    worker.print('finished file import successfully')
  })
}

function download(call: Call): string {
  const place = destination(call)
  const url = call.parameters.required('url')
  if ((call.parameters.text('checksum') === undefined) !== (call.parameters.text('checksum-algorithm') === undefined))
    throw badParameters({ checksum: "missing property - 'checksum' requires 'checksum-algorithm', and that this" })
  return call.start('download', place.volid.split('/').at(-1) ?? '', async (worker) => {
    worker.print(`downloading ${url} to ${place.volid}`)
    const there = call.cluster.storages.volume(place.volid, call.node) && (await readFile(filePath(call.cluster.directory, place.volid)))
    if (there && hashed(call, there) === call.parameters.text('checksum')?.toLowerCase())
      return worker.print('OK, got correct file already, no need to download')
    if (there) throw died(`refusing to override existing file '${place.volid}'`)
    await worker.takes(call.cluster.durations.other)
    // Addresses outside are not asked; a test serves its image itself.
    if (!/^https?:\/\/(?:127\.0\.0\.1|localhost)[:/]/.test(url)) throw died(`download failed: 4`)
    const answer = await fetch(url)
    if (!answer.ok) throw died(`download failed: server responded with ${answer.status}`)
    await store(call, place, Buffer.from(await answer.arrayBuffer()))
    worker.print('download of file finished')
  })
}

/** By the algorithm that was named; undefined without one. */
function hashed(call: Call, bytes: Buffer): string | undefined {
  const algorithm = call.parameters.text('checksum-algorithm')
  return algorithm === undefined ? undefined : createHash(algorithm).update(bytes).digest('hex')
}

async function store(call: Call, { storage, volid, kind }: { storage: Storage; volid: string; kind: Content }, bytes: Buffer): Promise<void> {
  const wanted = call.parameters.text('checksum')
  const got = hashed(call, bytes)
  if (got !== undefined && got !== wanted?.toLowerCase()) throw died(`checksum mismatch: got '${got}' != expect '${wanted}'`)
  const path = filePath(call.cluster.directory, volid)
  await mkdir(dirname(path), { recursive: true })
  await writeFile(`${path}.part`, bytes)
  await rename(`${path}.part`, path)
  const format = volid.endsWith('.qcow2') ? 'qcow2' : 'raw'
  call.cluster.storages.put({
    volid,
    storage: storage.id,
    node: storage.shared ? null : call.node,
    content: kind,
    vmid: null,
    disk: { key: volid, sizeBytes: bytes.length, format },
    base: false,
    parent: null,
    createdAt: call.cluster.now(),
  })
}
