import { app } from '../../../scripts/app.js'
import { addElement, ask, element, onChange, onValues, setWidget, widgetOf } from './common.js'

const NODE = 'PortraitTalkLoadAudio'
const HEIGHT = 84
const STEP = 0.1 // seconds by which an arrow key moves an end
const REACH = 12 // pixels from which an end can be taken
const SHORTEST = 0.04 // seconds
const FPS = 25 // where no node further on says another

app.registerExtension({
  name: 'PortraitTalk.LoadAudio',
  // ComfyUI's upload button for sound, which it adds to every node that takes one, needs the audio player that it adds to its
  // own nodes only. Our loader gets the player too, and before the button, which looks for it.
  beforeRegisterNodeDef(nodeType, nodeData) {
    if (nodeData.name !== NODE) return
    const { upload, ...widgets } = nodeData.input.required
    nodeData.input.required = { ...widgets, audioUI: ['AUDIO_UI', {}], ...(upload && { upload }) }
  },
  nodeCreated(node) {
    if (node.comfyClass === NODE) addWaveform(node)
  }
})

/** The waveform of the file: drag its two ends, or focus it and use the arrow keys (with Shift: the end). */
function addWaveform(node) {
  const file = widgetOf(node, 'audio')
  const start = widgetOf(node, 'start')
  const duration = widgetOf(node, 'duration')
  const box = element('div', { display: 'flex', flexDirection: 'column', gap: '2px', width: '100%' })
  const canvas = element('canvas', { width: '100%', height: '56px', cursor: 'ew-resize', touchAction: 'none' })
  canvas.tabIndex = 0
  canvas.setAttribute('role', 'slider')
  canvas.setAttribute('aria-label', 'Start and end of the speech')
  const text = element('div', { font: '11px sans-serif', color: 'var(--input-text, #ccc)', textAlign: 'center' })
  text.setAttribute('role', 'status')
  box.append(canvas, text)
  addElement(node, 'waveform', box, HEIGHT)

  let sound = null // { seconds, peaks } of the file
  let shown = '' // its name
  let problem = ''
  let held = null // the end that is dragged

  const begin = () => Math.min(start.value, sound.seconds)
  const end = () => (duration.value ? Math.min(start.value + duration.value, sound.seconds) : sound.seconds)

  async function load() {
    const name = file.value
    if (name === shown) return draw()
    shown = name
    sound = null
    problem = ''
    try {
      const told = await ask('waveform', name)
      if (name === file.value) sound = told
    } catch (error) {
      if (name === file.value) problem = error.message
    }
    draw()
  }

  function draw() {
    const width = (canvas.width = Math.max(canvas.clientWidth, 100) * 2)
    const height = (canvas.height = 112)
    const pen = canvas.getContext('2d')
    text.textContent = problem || (sound ? describe() : '')
    if (!sound) return
    const left = (begin() / sound.seconds) * width
    const right = (end() / sound.seconds) * width
    const highest = Math.max(...sound.peaks, 0.05)
    sound.peaks.forEach((peak, number) => {
      const x = (number / sound.peaks.length) * width
      const size = Math.max((peak / highest) * height * 0.92, 2)
      pen.fillStyle = x >= left && x <= right ? '#4db6ac' : '#5558'
      pen.fillRect(x, (height - size) / 2, Math.max(width / sound.peaks.length - 0.5, 1), size)
    })
    pen.fillStyle = '#ffcc80'
    for (const x of [left, right]) pen.fillRect(Math.min(Math.max(x - 2, 0), width - 4), 0, 4, height)
    canvas.setAttribute('aria-valuetext', text.textContent)
  }

  function describe() {
    const seconds = Math.max(end() - begin(), 0)
    if (!seconds) return `The start is behind the end of the file (${sound.seconds.toFixed(2)} s).`
    const fps = framesPerSecond(node)
    const whole = seconds < sound.seconds ? ` of ${sound.seconds.toFixed(2)} s` : ''
    return `${seconds.toFixed(2)} s${whole}, ${Math.round(seconds * fps)} frames at ${fps} fps`
  }

  function move(which, seconds) {
    const round = (value) => Math.round(value * 100) / 100
    const last = end()
    if (which === 'start') {
      const first = Math.min(Math.max(seconds, 0), last - SHORTEST)
      setWidget(node, start, round(first))
      if (duration.value) setWidget(node, duration, round(last - first))
    } else {
      const wanted = Math.max(seconds, begin() + SHORTEST)
      setWidget(node, duration, wanted >= sound.seconds - 0.005 ? 0 : round(wanted - begin()))
    }
  }

  const secondsAt = (event) => {
    const place = canvas.getBoundingClientRect() // scaled with the graph
    return ((event.clientX - place.left) / place.width) * sound.seconds
  }

  canvas.addEventListener('pointerdown', (event) => {
    if (!sound || event.button !== 0) return
    event.stopPropagation()
    const seconds = secondsAt(event)
    held = Math.abs(seconds - begin()) <= Math.abs(seconds - end()) ? 'start' : 'end'
    const reach = (REACH / canvas.getBoundingClientRect().width) * sound.seconds
    if (Math.min(Math.abs(seconds - begin()), Math.abs(seconds - end())) > reach) move(held, seconds)
    canvas.setPointerCapture(event.pointerId)
  })
  canvas.addEventListener('pointermove', (event) => {
    if (!held) return
    event.stopPropagation()
    move(held, secondsAt(event))
  })
  for (const name of ['pointerup', 'pointercancel']) canvas.addEventListener(name, () => (held = null))
  canvas.addEventListener('keydown', (event) => {
    const way = { ArrowLeft: -STEP, ArrowRight: STEP }[event.key]
    if (!way || !sound) return
    event.preventDefault()
    event.stopPropagation()
    if (event.shiftKey) move('end', end() + way)
    else move('start', begin() + way)
  })

  onChange(file, load)
  onChange(start, draw)
  onChange(duration, draw)
  onValues(node, load)
  new ResizeObserver(() => draw()).observe(canvas)
}

/** The frame rate of the first node further on that has one, so that the frames are those of the video. */
function framesPerSecond(node) {
  for (const output of node.outputs ?? []) {
    for (const id of output.links ?? []) {
      const link = node.graph?.links.get(id)
      const fps = link && widgetOf(node.graph.getNodeById(link.target_id) ?? {}, 'fps')
      if (fps) return fps.value
    }
  }
  return FPS
}
