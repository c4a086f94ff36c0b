/** Hooks: what a page asks the API, and what happened to the question. */
import { get } from './api.js'
import { useCallback, useEffect, useRef, useState } from './vendor/hooks.js'

/** `{ answer, error, reload }`. While it is asked again the last answer stays. `everyMs`: asks again by itself. */
export function useAnswer(path, query = {}, everyMs) {
  const asked = JSON.stringify([path, query])
  const [state, setState] = useState({})
  const [round, setRound] = useState(0)
  useEffect(() => {
    const gone = new AbortController()
    get(path, query, gone.signal).then(
      answer => setState({ asked, answer }),
      error => {
        if (!gone.signal.aborted) setState(last => ({ ...last, asked, error }))
      },
    )
    return () => gone.abort()
  }, [asked, round])
  const reload = useCallback(() => setRound(n => n + 1), [])
  useInterval(reload, everyMs)
  // The answer to another question is none.
  const isOurs = state.asked === asked
  return { answer: isOurs ? state.answer : undefined, error: isOurs ? state.error : undefined, reload }
}

/** `{ items, total, answer, error, more, reload }` of a list; `more` reads the next page, undefined when there is none. */
export function useList(path, name, query) {
  const first = useAnswer(path, query)
  const [rest, setRest] = useState({ pages: [] })
  const { answer } = first
  // Pages belong to the first one that they follow.
  const pages = rest.after === answer ? rest.pages : []
  const last = pages.at(-1) ?? answer
  const shown = useRef(answer)
  shown.current = answer
  const more = async () => {
    const page = await get(path, { ...query, cursor: last.next_cursor })
    if (shown.current === answer) setRest({ after: answer, pages: [...pages, page] })
  }
  return {
    ...first,
    items: answer && [answer, ...pages].flatMap(page => page[name]),
    total: last?.total,
    more: last?.next_cursor ? more : undefined,
  }
}

/** `{ onSubmit, isBusy, problem }` of a form whose `work` takes a while; what goes wrong with it is the problem. */
export function useSubmit(work) {
  const [isBusy, setBusy] = useState(false)
  const [problem, setProblem] = useState('')
  const onSubmit = async event => {
    event.preventDefault()
    setBusy(true)
    setProblem('')
    try {
      await work()
    } catch (error) {
      setProblem(error.message)
    } finally {
      setBusy(false)
    }
  }
  return { onSubmit, isBusy, problem }
}

/** Only while somebody looks. */
function useInterval(run, everyMs) {
  useEffect(() => {
    if (everyMs === undefined) return
    const timer = setInterval(() => document.visibilityState === 'visible' && run(), everyMs)
    return () => clearInterval(timer)
  }, [run, everyMs])
}

/** What somebody types, once they pause. */
export function useSettled(value, ms = 300) {
  const [settled, setSettled] = useState(value)
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), ms)
    return () => clearTimeout(timer)
  }, [value, ms])
  return settled
}
