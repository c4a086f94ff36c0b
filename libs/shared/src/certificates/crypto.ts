/** Ed25519 as libsodium does it, small-order keys refused (spec 01 §4), and secret boxes. */
import sodium from 'sodium-native'

export const SIGNATURE_BYTES = 64

/** Checks `signature ‖ message`; returns the message (aliasing `signed`), or undefined when the signature is not by `verify_key`. */
export function openSigned(verify_key: Buffer, signed: Buffer): Buffer | undefined {
  if (signed.length < SIGNATURE_BYTES) return undefined
  const message = signed.subarray(SIGNATURE_BYTES)
  return verifyDetached(verify_key, signed.subarray(0, SIGNATURE_BYTES), message) ? message : undefined
}

/** Whether `signature` is a 64-byte signature of `message` by `verify_key` (32 bytes). Never throws. */
export function verifyDetached(verify_key: Buffer, signature: Buffer, message: Buffer): boolean {
  if (signature.length !== SIGNATURE_BYTES || verify_key.length !== 32) return false
  return sodium.crypto_sign_verify_detached(signature, message, verify_key)
}

const NONCE_BYTES = 24
const BOX_MAC_BYTES = 16
const BOX_KEY_BYTES = 32

/** Opens `nonce ‖ box` (XSalsa20-Poly1305); undefined when it is not by `key` or damaged. */
export function openSecretBox(key: Buffer, box: Buffer): Buffer | undefined {
  if (key.length !== BOX_KEY_BYTES || box.length < NONCE_BYTES + BOX_MAC_BYTES) return undefined
  const message = Buffer.alloc(box.length - NONCE_BYTES - BOX_MAC_BYTES)
  const ciphertext = box.subarray(NONCE_BYTES)
  return sodium.crypto_secretbox_open_easy(message, ciphertext, box.subarray(0, NONCE_BYTES), key) ? message : undefined
}
