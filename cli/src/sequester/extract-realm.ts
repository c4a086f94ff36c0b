/**
 * Rebuilds the files of an exported realm, offline; only who does it may read them. Nothing in the export is trusted beyond
 * its root key: a manifest must be signed by a device that leads back to it, and a block must be the one that the manifest
 * of its file describes.
 */
import { createHash, type KeyObject } from 'node:crypto'
import { closeSync, ftruncateSync, mkdirSync, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { openSecretBox } from '@parsec/shared/certificates/crypto'
import { type TrustedDevice, trustedDevices } from '@parsec/shared/certificates/device-chain'
import {
  type FileBlock,
  type FileManifest,
  isFile,
  type Manifest,
  readManifest,
} from '@parsec/shared/certificates/manifest'
import { decryptForService } from '@parsec/shared/certificates/sequester'
import type { Uuid } from '@parsec/shared/codec/values'
import type { ExportFile } from './export-file.ts'

export type Extraction = {
  file: ExportFile
  serviceKey: KeyObject
  /** Directory of the realm's root. */
  output: string
  /** Versions after this instant do not count; microseconds since 1970. */
  until: number
  tell: (line: string) => void
}

/** One thing could not be rebuilt; the text says why. */
class Damage extends Error {
  override readonly name = 'Damage'
}

/** Writes what can be read; returns how many files and folders could not be. */
export function extractRealm({ file, serviceKey, output, until, tell }: Extraction): number {
  const devices = trustedDevices(file.devices(), file.info.root_verify_key)
  let failures = 0
  /**
   * Where each was written, once: a folder that is inside itself would have no end, and a few that hold each other many
   * times over would fill any disk.
   */
  const places = new Map<string, string>()
  const extract = (id: Uuid, path: string): void => {
    try {
      const place = places.get(id.hex)
      if (place !== undefined)
        throw new Damage(isInside(path, place) ? 'the folder is inside itself' : `it is at ${place} already`)
      places.set(id.hex, path)
      const manifest = manifestOf({ file, serviceKey, until, devices }, id)
      if (isFile(manifest)) writeFile(file, manifest, path)
      else {
        mkdirSync(path, { recursive: true, mode: 0o700 })
        for (const [name, child] of manifest.children) {
          if (isSafeName(name)) extract(child, join(path, name))
          else {
            failures++
            tell(`${path} ✘: an entry has the name ${JSON.stringify(name)}`)
          }
        }
      }
      tell(`${path} ✔`)
    } catch (error) {
      failures++
      tell(`${path} ✘: ${(error as Error).message}`)
    }
  }
  // The vlob of a realm's root folder has the id of the realm.
  extract(file.info.realm_id, output)
  return failures
}

type Source = Pick<Extraction, 'file' | 'serviceKey' | 'until'> & { devices: ReadonlyMap<number, TrustedDevice> }

function manifestOf({ file, serviceKey, until, devices }: Source, id: Uuid): Manifest {
  const found = file.vlob(id, until)
  if (!found) throw new Damage('no version of it is in the export')
  const author = devices.get(found.author)
  if (!author) throw new Damage('its author is not certified')
  const signed = decryptForService(serviceKey, found.blob)
  if (!signed) throw new Damage('it was not encrypted for this key, or is damaged')
  const manifest = readManifest(signed, author, { id, version: found.version })
  if (!manifest) throw new Damage('its content is invalid or not signed by its author')
  return manifest
}

function writeFile(source: ExportFile, manifest: FileManifest, path: string): void {
  const target = openSync(path, 'w', 0o600)
  try {
    ftruncateSync(target, manifest.size)
    for (const block of manifest.blocks) {
      const data = blockOf(source, block).subarray(0, Math.max(manifest.size - block.offset, 0))
      for (let at = 0; at < data.length; ) at += writeSync(target, data, at, data.length - at, block.offset + at)
    }
  } finally {
    closeSync(target)
  }
}

function blockOf(source: ExportFile, { id, key, size, digest }: FileBlock): Buffer {
  const stored = source.block(id)
  if (!stored) throw new Damage(`block ${id} is not in the export`)
  const data = openSecretBox(key, stored)
  const isRight = data?.length === size && createHash('sha256').update(data).digest().equals(digest)
  if (!data || !isRight) throw new Damage(`block ${id} is damaged`)
  return data
}

const isInside = (path: string, folder: string): boolean => path.startsWith(join(folder, '/'))

/** Whether a name stays inside its folder. */
const isSafeName = (name: string): boolean => name !== '' && name !== '.' && name !== '..' && !/[/\\\0]/.test(name)
