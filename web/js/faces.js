import { app } from '../../../scripts/app.js'
import { api } from '../../../scripts/api.js'
import { addElement, ask, element, onChange, onValues, setWidget, widgetOf } from './common.js'

const PORTRAIT = 'PortraitTalkLoadPortrait'
const ENCODE = 'PortraitTalkIdentityEncode'
const LARGEST = 'largest face'
const NUMBER = 'face number'
const HEIGHT = 84
const THUMB = 48 // pixels
const MARGIN = 0.25 // of a face's box, shown around it

app.registerExtension({
  name: 'PortraitTalk.Faces',
  nodeCreated(node) {
    if (node.comfyClass === PORTRAIT || node.comfyClass === ENCODE) addFaces(node)
  }
})

/** The faces of the portrait, numbered: click one, or reach it with Tab and press Enter, and it is the one that talks. */
function addFaces(node) {
  const box = element('div', { width: '100%', overflow: 'hidden', font: '11px sans-serif' })
  const row = element('div', { display: 'flex', gap: '4px', height: `${THUMB + 2}px`, overflowX: 'auto' })
  const text = element('div', { color: 'var(--input-text, #ccc)', maxHeight: '30px', overflowY: 'auto' })
  text.setAttribute('role', 'status')
  row.setAttribute('role', 'radiogroup')
  row.setAttribute('aria-label', 'Faces, the largest first')
  box.append(row, text)
  addElement(node, 'faces', box, HEIGHT)

  const later = () => setTimeout(mark) // when the widgets of the new mode are there
  let shown = null // name of the file
  let faces = []

  async function load() {
    const image = widgetOf(portraitOf(node) ?? {}, 'image')
    if (image) onChange(image, load)
    const name = image?.value
    if (name === shown) return mark()
    shown = name
    faces = []
    row.replaceChildren()
    text.textContent = ''
    if (!name) return
    text.textContent = 'Looking for faces ...'
    try {
      const told = await ask('faces', name)
      if (shown !== name) return
      faces = told.faces
    } catch (error) {
      if (shown === name) text.textContent = error.message
      return
    }
    const picture = new Image()
    picture.src = api.apiURL(address(name))
    await picture.decode().catch(() => null)
    if (shown !== name) return
    row.replaceChildren(...faces.map((face, number) => thumbnail(picture, face, number)))
    mark()
  }

  function thumbnail(picture, face, number) {
    const button = element(
      'button',
      { position: 'relative', padding: 0, border: '2px solid transparent', background: 'none', flex: 'none' },
      { type: 'button', title: face.warnings.join('\n') || `Face ${number}` }
    )
    button.setAttribute('role', 'radio')
    button.setAttribute('aria-label', `Face ${number}`)
    const canvas = element('canvas', { width: `${THUMB - 4}px`, height: `${THUMB - 4}px`, display: 'block' })
    canvas.width = canvas.height = 2 * THUMB
    const [left, top, right, bottom] = face.box
    const [width, height] = [picture.naturalWidth, picture.naturalHeight]
    const side = Math.max((right - left) * width, (bottom - top) * height) * (1 + 2 * MARGIN)
    const x = ((left + right) / 2) * width - side / 2
    const y = ((top + bottom) / 2) * height - side / 2
    if (width) canvas.getContext('2d').drawImage(picture, x, y, side, side, 0, 0, 2 * THUMB, 2 * THUMB)
    const style = { position: 'absolute', left: 0, top: 0, padding: '0 3px', background: '#ffcc80', color: '#000' }
    button.append(canvas, element('span', style, { textContent: face.warnings.length ? `${number} !` : `${number}` }))
    button.addEventListener('click', () => choose(number))
    return button
  }

  function choose(number) {
    for (const encode of encodersOf(node)) {
      const mode = widgetOf(encode, 'face')
      if (mode.value !== NUMBER) setWidget(encode, mode, NUMBER)
      setWidget(encode, widgetOf(encode, 'face.index'), number)
    }
    mark()
  }

  /** Mark again when the choice was changed at the widgets of a node that encodes this portrait. */
  function watch() {
    for (const encode of encodersOf(node)) {
      onChange(widgetOf(encode, 'face'), later)
      const index = widgetOf(encode, 'face.index')
      if (index) onChange(index, later)
    }
  }

  /** Mark the face that is chosen, and say what will hurt a video of it. */
  function mark() {
    watch()
    const [encode] = encodersOf(node)
    const mode = encode && widgetOf(encode, 'face').value
    const chosen = mode === NUMBER ? widgetOf(encode, 'face.index')?.value : !mode || mode === LARGEST ? 0 : null
    ;[...row.children].forEach((button, number) => {
      button.style.borderColor = number === chosen ? '#40e078' : 'transparent'
      button.setAttribute('aria-checked', number === chosen)
    })
    if (!row.children.length) text.textContent = shown ? 'No face is found in this picture.' : ''
    else text.textContent = faces[chosen]?.warnings.join(' ') ?? ''
  }

  const connections = node.onConnectionsChange
  node.onConnectionsChange = function (...values) {
    connections?.apply(this, values)
    setTimeout(load)
  }
  onValues(node, () => setTimeout(load)) // after the links, too, are there
}

/** The node that loads the portrait: the node itself, or what is connected to the first reference. */
function portraitOf(node) {
  if (node.comfyClass === PORTRAIT) return node
  const slot = node.inputs?.findIndex((input) => input.name.endsWith('reference0'))
  const source = slot >= 0 ? node.getInputNode(slot) : null
  return source && widgetOf(source, 'image') && source.comfyClass.match(/^(PortraitTalkLoadPortrait|LoadImage)$/) ? source : null
}

/** The nodes that encode this portrait as their first reference. */
function encodersOf(node) {
  if (node.comfyClass === ENCODE) return [node]
  const links = (node.outputs?.[0]?.links ?? []).map((id) => node.graph.links.get(id))
  const targets = links.map((link) => link && node.graph.getNodeById(link.target_id))
  return targets.filter((target) => target?.comfyClass === ENCODE && portraitOf(target) === node)
}

/** Where the front end's own previews find a file: "folder/name.jpg", or "name.jpg [output]". */
function address(name) {
  const [, path, type = 'input'] = name.match(/^(.*?)(?: \[(input|output|temp)\])?$/)
  const cut = path.lastIndexOf('/')
  const query = new URLSearchParams({ filename: path.slice(cut + 1), subfolder: path.slice(0, Math.max(cut, 0)), type })
  return `/view?${query}`
}
