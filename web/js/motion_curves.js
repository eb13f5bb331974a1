import { app } from '../../../scripts/app.js'
import { api } from '../../../scripts/api.js'
import { addElement, ask, element, onChange, onValues, setWidget, widgetOf } from './common.js'

const NODE = 'PortraitTalkEditMotion'
const PLOT = 150 // pixels
const HEIGHT = PLOT + 220
const REACH = 9 // pixels from which a key can be taken
const EDGE = 8 // pixels above and below the range of values
const FRAME = 0.04 // seconds that an arrow key moves a key where no frame rate is known
const SECONDS = 10 // shown before the first run

let definitions = null // of the curves, asked once

app.registerExtension({
  name: 'PortraitTalk.MotionCurves',
  nodeCreated(node) {
    if (node.comfyClass === NODE) addEditor(node)
  }
})

/** One line for each curve, so that people can read and change it. */
function written(edits) {
  const lines = Object.entries(edits).map(([name, keys]) => `"${name}": ${JSON.stringify(keys)}`)
  return lines.length ? `{\n${lines.join(',\n')}\n}` : '{}'
}

const round = (value, step) => Math.round(value / step) * step
const within = (value, low, high) => Math.min(Math.max(value, low), high)
const tidy = (value) => Number(value.toFixed(4))

/** The keys of one curve: click adds one, dragging moves it, Delete removes it; all of it by keyboard, too. */
async function addEditor(node) {
  const edits = widgetOf(node, 'edits')
  const box = element('div', { display: 'flex', flexDirection: 'column', gap: '3px', width: '100%', overflow: 'hidden', font: '11px sans-serif' })
  const bar = element('div', { display: 'flex', gap: '4px' })
  const choice = element('select', { flex: 1, minWidth: 0 })
  choice.setAttribute('aria-label', 'Curve')
  const ease = element('button', {}, { type: 'button', textContent: 'smooth', title: 'How the curve goes on from the chosen key' })
  const remove = element('button', {}, { type: 'button', textContent: 'delete key' })
  const canvas = element('canvas', { width: '100%', height: `${PLOT}px`, flex: 'none', cursor: 'crosshair', touchAction: 'none' })
  canvas.tabIndex = 0
  canvas.setAttribute('role', 'application')
  canvas.setAttribute('aria-label', 'Keys of the curve')
  const text = element('div', { color: 'var(--input-text, #ccc)', minHeight: '14px', textAlign: 'center' })
  text.setAttribute('role', 'status')
  const video = element('video', { width: '100%', height: '160px', background: '#1c1c20' }, { loop: true })
  bar.append(choice, ease, remove)
  box.append(bar, canvas, text, video)
  addElement(node, 'curves editor', box, HEIGHT)

  let ran = null // what the last run told: seconds, fps, peaks, curves of the motion as it came in
  let held = null // number of the key that is dragged
  let chosen = null // number of the key that the keyboard and the buttons act on

  const curve = () => definitions?.find((one) => one.name === choice.value)

  /** The edits in the text, or null where it cannot be read; it is then left alone. */
  function read() {
    try {
      const all = JSON.parse(edits.value.trim() || '{}')
      return all && typeof all === 'object' && !Array.isArray(all) ? all : null
    } catch {
      return null
    }
  }

  /** The keys of the curve in order of time, or null where they are not ours to change. */
  function keys() {
    const all = read()
    const list = all?.[choice.value] ?? []
    const ours = all && Array.isArray(list) && list.every((key) => Number.isFinite(key?.time) && Number.isFinite(key?.value))
    return ours ? list.map((key) => ({ ...key })).sort((one, other) => one.time - other.time) : null
  }

  function write(list) {
    const all = read()
    if (list.length) all[choice.value] = list
    else delete all[choice.value]
    setWidget(node, edits, written(all))
    draw()
  }

  const length = () => ran?.seconds ?? Math.max(SECONDS, ...(keys() ?? []).map((key) => key.time))
  const frame = () => (ran ? 1 / ran.fps : FRAME)
  const xOf = (time) => (time / length()) * canvas.clientWidth
  const yOf = (value) => {
    const { low, high, downward } = curve()
    const share = (within(value, low, high) - low) / (high - low)
    return EDGE + (PLOT - 2 * EDGE) * (downward ? share : 1 - share)
  }
  const timeAt = (x) => tidy(within((x / canvas.clientWidth) * length(), 0, length()))
  const valueAt = (y) => {
    const { low, high, downward } = curve()
    const share = within((y - EDGE) / (PLOT - 2 * EDGE), 0, 1)
    return tidy(round(low + (high - low) * (downward ? share : 1 - share), (high - low) / 200))
  }

  /** The value of the keys at a time, as the library interpolates them. */
  function valueOf(list, time) {
    const after = list.findIndex((key) => key.time > time)
    if (!list.length) return curve().neutral
    if (after === 0) return list[0].value
    if (after < 0) return list.at(-1).value
    const [from, to] = [list[after - 1], list[after]]
    const part = (time - from.time) / (to.time - from.time)
    return from.value + (to.value - from.value) * (from.interpolation === 'linear' ? part : part * part * (3 - 2 * part))
  }

  /** Add a key, or take the one that is there already. Returns its number. */
  function add(list, time, value) {
    const there = list.findIndex((key) => Math.abs(key.time - time) < frame() / 2)
    if (there >= 0) return there
    list.push({ time, value })
    list.sort((one, other) => one.time - other.time)
    return list.findIndex((key) => key.time === time)
  }

  /** Move a key, between its neighbours. */
  function move(list, number, time, value) {
    const gap = frame() / 2
    const first = number ? list[number - 1].time + gap : 0
    const last = number < list.length - 1 ? list[number + 1].time - gap : length()
    list[number] = { ...list[number], time: tidy(within(time, first, Math.max(first, last))), value }
    chosen = number
    write(list)
  }

  function removeKey() {
    const list = keys()
    if (!list?.[chosen]) return
    list.splice(chosen, 1)
    chosen = list.length ? Math.min(chosen, list.length - 1) : null
    write(list)
  }

  function line(pen, count, point) {
    pen.beginPath()
    for (let number = 0; number < count; number++) pen.lineTo(...point(number))
    pen.stroke()
  }

  function draw() {
    const width = canvas.clientWidth
    const drawn = curve()
    if (!drawn || !width) return
    canvas.width = 2 * width
    canvas.height = 2 * PLOT
    const pen = canvas.getContext('2d')
    pen.scale(2, 2)
    pen.fillStyle = '#26262c'
    pen.fillRect(0, 0, width, PLOT)
    const peaks = ran?.peaks ?? []
    const highest = Math.max(...peaks, 0.05)
    pen.fillStyle = '#3a3d48'
    peaks.forEach((peak, number) => {
      const size = (peak / highest) * PLOT * 0.9
      pen.fillRect((number / peaks.length) * width, (PLOT - size) / 2, Math.max(width / peaks.length, 0.5), size)
    })
    pen.strokeStyle = '#5a5a64'
    line(pen, 2, (end) => [end * width, yOf(drawn.neutral)])
    const before = ran?.curves[drawn.name] ?? []
    pen.strokeStyle = '#9ccfc888'
    line(pen, before.length, (number) => [((number + 0.5) / before.length) * width, yOf(before[number])])
    pen.fillStyle = '#a8a8b0'
    pen.font = '10px sans-serif'
    for (const [value, word] of [[drawn.low, drawn.low_word], [drawn.high, drawn.high_word]]) {
      const y = yOf(value)
      pen.fillText(`${value} ${word}`, 4, y < PLOT / 2 ? y + 6 : y + 2)
    }
    if (ran) {
      pen.textAlign = 'right'
      pen.fillText(`${length().toFixed(2)} s`, width - 4, PLOT - 6)
      pen.fillStyle = '#ffcc80'
      if (!video.paused || video.currentTime) pen.fillRect(xOf(video.currentTime), 0, 1, PLOT)
    }
    const all = read()?.[drawn.name]
    const list = keys()
    pen.strokeStyle = '#ffb74d'
    pen.lineWidth = 1.5
    if (list?.length) line(pen, width + 1, (x) => [x, yOf(valueOf(list, timeAt(x)))])
    else if (!list && Array.isArray(all)) line(pen, all.length, (number) => [((number + 0.5) / all.length) * width, yOf(Number(all[number]) || 0)])
    list?.forEach((key, number) => {
      pen.fillStyle = number === chosen ? '#fff' : '#ffb74d'
      pen.beginPath()
      pen.arc(xOf(key.time), yOf(key.value), number === chosen ? 5 : 4, 0, 7)
      pen.fill()
    })
    tell(drawn, list)
  }

  function tell(drawn, list) {
    const key = list?.[chosen]
    ease.disabled = remove.disabled = !key
    ease.textContent = key?.interpolation ?? 'smooth'
    const unit = drawn.unit && ` ${drawn.unit}`
    if (!read()) text.textContent = 'The text above is not valid JSON: correct it, or empty it.'
    else if (!list) text.textContent = 'This curve is a list of values: remove it from the text to set keys.'
    else if (key) text.textContent = `key ${chosen + 1} of ${list.length}: ${key.time.toFixed(2)} s, ${key.value}${unit}`
    else if (list.length) text.textContent = `${list.length} keys`
    else text.textContent = ran ? 'Click to add a key.' : 'Click to add a key; run once to see the speech and the curve.'
    canvas.setAttribute('aria-valuetext', text.textContent)
  }

  function place(event) {
    const box = canvas.getBoundingClientRect() // scaled with the graph
    const scale = canvas.clientWidth / box.width
    return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale]
  }

  const nearest = (list, x, y) => list.findIndex((key) => Math.hypot(xOf(key.time) - x, yOf(key.value) - y) <= REACH)

  canvas.addEventListener('pointerdown', (event) => {
    if (event.button !== 0) return
    event.stopPropagation()
    canvas.focus()
    const list = curve() && keys()
    if (!list) return
    const [x, y] = place(event)
    const found = nearest(list, x, y)
    held = found >= 0 ? found : add(list, timeAt(x), valueAt(y))
    chosen = held
    if (found < 0) write(list)
    else draw()
    canvas.setPointerCapture(event.pointerId)
  })
  canvas.addEventListener('pointermove', (event) => {
    const list = held === null ? null : keys()
    if (!list?.[held]) return
    event.stopPropagation()
    const [x, y] = place(event)
    move(list, held, timeAt(x), valueAt(y))
  })
  for (const name of ['pointerup', 'pointercancel']) canvas.addEventListener(name, () => (held = null))
  canvas.addEventListener('dblclick', (event) => {
    event.stopPropagation()
    removeKey()
  })
  canvas.addEventListener('keydown', (event) => {
    const list = curve() && keys()
    if (!list || event.ctrlKey || event.metaKey || event.altKey) return // Ctrl+Enter runs the workflow
    const key = list[chosen]
    const { low, high, downward } = curve()
    const far = event.shiftKey ? 10 : 1
    const up = (downward ? -1 : 1) * far * ((high - low) / 200)
    const steps = { ArrowLeft: [-far * frame(), 0], ArrowRight: [far * frame(), 0], ArrowUp: [0, up], ArrowDown: [0, -up] }
    if (event.key in steps && key) {
      const [time, value] = steps[event.key]
      move(list, chosen, key.time + time, tidy(within(key.value + value, low, high)))
    } else if (event.key === 'Enter') {
      const next = list[chosen + 1]?.time ?? length()
      const time = tidy(key ? (key.time + next) / 2 : length() / 2)
      chosen = add(list, time, tidy(valueOf(list, time)))
      write(list)
    } else if (event.key === 'PageUp' || event.key === 'PageDown') {
      const way = event.key === 'PageUp' ? -1 : 1
      chosen = list.length ? within((chosen ?? (way > 0 ? -1 : list.length)) + way, 0, list.length - 1) : null
      draw()
    } else if (event.key === 'Delete' || event.key === 'Backspace') removeKey()
    else if (!(event.key in steps)) return
    event.preventDefault()
    event.stopPropagation() // Delete would remove the node
  })
  ease.addEventListener('click', () => {
    const list = keys()
    if (!list?.[chosen]) return
    const { interpolation, ...key } = list[chosen]
    list[chosen] = interpolation === 'linear' ? key : { ...key, interpolation: 'linear' }
    write(list)
  })
  remove.addEventListener('click', removeKey)
  choice.addEventListener('change', () => {
    chosen = null
    draw()
  })
  for (const name of ['timeupdate', 'pause']) video.addEventListener(name, draw)

  const executed = node.onExecuted
  node.onExecuted = function (output) {
    executed?.apply(this, arguments)
    const told = output?.motion_curves?.[0]
    if (!told) return
    ran = told
    video.controls = true
    video.src = api.apiURL(`/view?${new URLSearchParams({ filename: told.video, type: 'temp' })}`)
    draw()
  }

  onChange(edits, draw)
  onValues(node, draw)
  new ResizeObserver(() => draw()).observe(canvas)
  try {
    definitions ??= (await ask('curves', '')).curves
  } catch (error) {
    text.textContent = error.message
    return
  }
  choice.replaceChildren(...definitions.map(({ name }) => element('option', {}, { value: name, textContent: name.replace('_', ' ') })))
  choice.value = 'head_yaw'
  draw()
}
