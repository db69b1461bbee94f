import { closeSync, fdatasync, ftruncateSync, openSync, writeSync } from 'node:fs'
import { promisify } from 'node:util'
import type { Log } from '../log.ts'
import type { JournalFolder, Segment } from './journal-folder.ts'

/** Writes segments: at once to the operating system, a little later to the disk. */
export interface SegmentFiles {
  /**
   * Appends to a segment, all or nothing.
   *
   * @throws the file system's error; what came through was cut off again, and a next write overwrites it in any case
   */
  write(segment: Segment, bytes: Buffer, length: number): void
  /** No more is written to the segment; its file is closed once it is synced. */
  seal(segment: Segment): void
  /** What has been written survives a power failure once this resolves. @throws what the disk says */
  sync(): Promise<void>
  /** Closes the file of a segment that nobody needs any more, synced or not. */
  release(segment: Segment): Promise<void>
  lastError(): string | undefined
  close(): Promise<void>
}

export interface SegmentFilesDeps {
  folder: JournalFolder
  log: Log
  /** From a write to its sync. */
  syncDelayMs: number
  /** How bytes reach a file; tests give one that fails. */
  write?: typeof writeSync | undefined
}

const syncFile = promisify(fdatasync)

export function createSegmentFiles(deps: SegmentFilesDeps): SegmentFiles {
  const { folder, log, syncDelayMs, write: writeBytes = writeSync } = deps
  const files = new Map<Segment, number>()
  const sealed = new Set<Segment>()
  const dirty = new Set<Segment>()
  let namesDirty = false
  let timer: NodeJS.Timeout | undefined
  let syncing: Promise<void> | undefined
  let syncError: string | undefined

  function write(segment: Segment, bytes: Buffer, length: number): void {
    let fd = files.get(segment)
    if (fd === undefined) {
      fd = openSync(segment.path, 'wx', 0o600)
      files.set(segment, fd)
      namesDirty = true
    }
    let written = 0
    try {
      while (written < length) written += writeBytes(fd, bytes, written, length - written, segment.bytes + written)
    } catch (error) {
      trim(segment)
      throw error
    }
    segment.bytes += length
    dirty.add(segment)
    syncSoon()
  }

  /** Readers of this process never look behind `bytes`, but the next process would take leftover frames for real. */
  function trim(segment: Segment): void {
    const fd = files.get(segment)
    if (fd === undefined) return
    try {
      ftruncateSync(fd, segment.memory ? 0 : segment.bytes)
    } catch (error) {
      log.error({ err: error, segment: segment.path }, 'The rest of a failed write could not be cut off the journal.')
    }
  }

  function syncSoon(): void {
    if (timer || syncing) return
    timer = setTimeout(() => {
      timer = undefined
      sync().catch(() => {}) // reported there, and tried again with the next write
    }, syncDelayMs)
    timer.unref()
  }

  async function sync(): Promise<void> {
    while (syncing) await syncing
    if (dirty.size === 0) return
    syncing = syncFiles()
    try {
      await syncing
      syncError = undefined
    } catch (error) {
      if (syncError === undefined) {
        log.error({ err: error, folder: folder.path }, 'The usage journal could not be synced to disk.')
      }
      syncError = String(error)
      throw error
    } finally {
      syncing = undefined
      if (dirty.size > 0) syncSoon()
    }
  }

  async function syncFiles(): Promise<void> {
    for (const segment of [...dirty]) {
      const fd = files.get(segment)
      const length = segment.bytes
      if (fd !== undefined) await syncFile(fd)
      if (segment.bytes > length) continue // written to meanwhile, hence still dirty
      dirty.delete(segment)
      if (sealed.has(segment)) closeFile(segment)
    }
    if (namesDirty) await folder.syncNames()
    namesDirty = false
  }

  function closeFile(segment: Segment): void {
    const fd = files.get(segment)
    files.delete(segment)
    sealed.delete(segment)
    dirty.delete(segment)
    if (fd !== undefined) closeSync(fd)
  }

  return {
    write,
    seal(segment) {
      if (dirty.has(segment)) sealed.add(segment)
      else closeFile(segment)
    },
    sync,
    async release(segment) {
      while (syncing) await syncing.catch(() => {}) // it uses the file; reported there
      closeFile(segment)
    },
    lastError: () => syncError,
    async close() {
      clearTimeout(timer)
      await sync().catch(() => {}) // reported there
      clearTimeout(timer)
      for (const segment of [...files.keys()]) closeFile(segment)
    },
  }
}
