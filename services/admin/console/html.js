/** Markup in template strings: what JSX is elsewhere, without a compiler. */
import htm from './vendor/htm.js'
import { h } from './vendor/preact.js'

export const html = htm.bind(h)
