/** Which page of the repository is which of the site, and how its links lead there. */
import path from 'node:path'

/** Besides those of `docs/`. */
const BESIDE = new Map([
  ['README.md', 'index.md'],
  ['deploy/README.md', 'around.md'],
  ['CONTRIBUTING.md', 'contributing.md'],
  ['SECURITY.md', 'vulnerabilities.md'],
  ['CHANGELOG.md', 'changes.md'],
])

/** File of the repository → file of the site. `docs`: the pages of that folder. */
export const placesOfPages = docs => new Map([...BESIDE, ...docs.map(file => [file, path.posix.basename(file)])])

const CODE = /(^ *(?:`{3,}|~{3,})[\s\S]*?^ *(?:`{3,}|~{3,}) *$|`[^`\n]*`)/gm

/** The text of a page on the site: links to other pages lead to those, links to files of the repository are only named. */
export function siteText(file, text, places) {
  const follow = (whole, image, label, target) => {
    if (/^(?:[a-z][a-z+.-]*:|#)/.test(target)) return whole
    const [to, anchor] = target.split('#')
    const found = path.posix.normalize(path.posix.join(path.posix.dirname(file), to))
    if (found.startsWith('docs/images/')) return `${image}[${label}](./${found.slice('docs/'.length)})`
    const place = places.get(found)
    if (place) return `[${label}](./${place}${anchor ? `#${anchor}` : ''})`
    return label === found || label === to ? `\`${label}\`` : label
  }
  return text
    .split(CODE)
    .map((part, i) => (i % 2 === 1 ? part : plain(part.replace(/(!?)\[([^\]]*)\]\(([^)\s]+)\)/g, follow))))
    .join('')
}

/** What the generator would take for a component or an expression. */
const plain = text => text.replace(/<(?!br>|!--)/g, '&lt;').replaceAll('{{', '&#123;&#123;')
