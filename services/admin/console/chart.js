/** Figures over time: as a picture, and as a table for those who want the numbers or cannot see it. */
import { clock, day, moment } from './format.js'
import { html } from './html.js'
import { Table } from './parts.js'
import { useEffect, useId, useRef, useState } from './vendor/hooks.js'
import Plot from './vendor/uplot.js'

const HEIGHT = 200
const DAY_S = 86_400
const YEAR_S = 31_536_000
/** Between two lines: there is no half of a thing. */
const STEPS = Array.from({ length: 16 }, (_, exponent) => [1, 2, 5].map(digit => digit * 10 ** exponent)).flat()
/** Rows of the table, the newest. */
const ROWS = 100

/** `times`: RFC 3339; `series`: `{ label, values }` of the same length, null where there is none. */
export function Chart({ title, times, series, format = String }) {
  const id = useId()
  const [isOpen, setOpen] = useState(false)
  const columns = [
    { head: 'Time', of: row => moment(times[row]) },
    ...series.map(({ label, values }) => ({
      head: label,
      kind: 'number',
      of: row => (values[row] === null ? '–' : format(values[row])),
    })),
  ]
  const rows = isOpen
    ? times
        .map((_, row) => row)
        .slice(-ROWS)
        .reverse()
    : []
  return html`
    <figure class="card chart" aria-labelledby=${id}>
      <figcaption>
        <h3 id=${id}>${title}</h3>
        <span class="quiet">${series.map(
          ({ label, values }, i) => html`
            <span class="series">
              <span class="swatch series-${i + 1}" aria-hidden="true"></span>${label}: ${latest(values, format)}
            </span>`,
        )}</span>
      </figcaption>
      ${
        times.length > 1
          ? html`<${Picture} times=${times} series=${series} format=${format} />`
          : html`<p class="quiet">There are no figures yet.</p>`
      }
      <details open=${isOpen} onToggle=${event => setOpen(event.target.open)}>
        <summary>Numbers</summary>
        <${Table} label=${title} columns=${columns} items=${rows} keyOf=${row => row} />
      </details>
    </figure>`
}
function latest(values, format) {
  const value = values.findLast(one => one !== null)
  return value === undefined ? '–' : format(value)
}

function Picture({ times, series, format }) {
  const place = useRef()
  const plot = useRef()
  const dark = useIsDark()
  const labels = series.map(({ label }) => label).join()
  const data = [times.map(at => Date.parse(at) / 1000), ...series.map(({ values }) => values)]
  const newest = useRef(data)
  newest.current = data
  useEffect(() => {
    const { clientWidth: width } = place.current
    plot.current = new Plot(optionsOf(place.current, width, series, format), newest.current, place.current)
    const resized = new ResizeObserver(([{ contentRect }]) =>
      plot.current.setSize({ width: contentRect.width, height: HEIGHT }),
    )
    resized.observe(place.current)
    return () => {
      resized.disconnect()
      plot.current.destroy()
    }
  }, [labels, dark])
  useEffect(() => plot.current.setData(data), [JSON.stringify(data)])
  return html`<div class="picture" aria-hidden="true" ref=${place}></div>`
}

function optionsOf(place, width, series, format) {
  const style = getComputedStyle(place)
  const colour = name => style.getPropertyValue(name).trim()
  const axis = { stroke: colour('--quiet'), grid: { stroke: colour('--line'), width: 1 }, ticks: { show: false } }
  return {
    width,
    height: HEIGHT,
    legend: { show: false },
    cursor: { show: false },
    scales: { y: { range: (_plot, _min, max) => [0, Math.max(max * 1.1, 1)] } },
    axes: [
      {
        ...axis,
        values: (_plot, times, _axis, _space, step) =>
          times.map(at => (step < DAY_S ? clock(at) : step < YEAR_S ? day(at).slice(5) : day(at).slice(0, 4))),
      },
      { ...axis, size: 72, incrs: STEPS, values: (_plot, values) => values.map(format) },
    ],
    series: [
      {},
      ...series.map(({ label }, i) => ({
        label,
        stroke: colour(`--series-${i + 1}`),
        width: 2,
        points: { show: false },
        ...(series.length === 1 && { fill: colour('--fill') }),
      })),
    ],
  }
}

function useIsDark() {
  const query = matchMedia('(prefers-color-scheme: dark)')
  const [isDark, setDark] = useState(query.matches)
  useEffect(() => {
    const onChange = event => setDark(event.matches)
    query.addEventListener('change', onChange)
    return () => query.removeEventListener('change', onChange)
  }, [])
  return isDark
}
