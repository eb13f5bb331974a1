import { api } from '../../../scripts/api.js'

// What the scripts of the nodes share.

/** What the server says of a file in the input folder; throws its sentence where it cannot be used. */
export async function ask(topic, name) {
  const reply = await api.fetchApi(`/portraittalk/${topic}?name=${encodeURIComponent(name)}`)
  const told = await reply.json()
  if (!reply.ok) throw new Error(told.error)
  return told
}

export function widgetOf(node, name) {
  return node.widgets?.find((widget) => widget.name === name)
}

/** Set a widget as if the user had: both renderers and the other scripts see it. */
export function setWidget(node, widget, value) {
  widget.value = value
  widget.callback?.(value)
  node.graph?.setDirtyCanvas(true, true)
}

const watched = new WeakMap() // widget -> those who react

/** Call ``react`` after the widget was changed, by the user or by a script. The same one is added once. */
export function onChange(widget, react) {
  const others = watched.get(widget)
  if (others) return others.add(react)
  const all = new Set([react])
  watched.set(widget, all)
  const callback = widget.callback
  widget.callback = function (...values) {
    const result = callback?.apply(this, values)
    all.forEach((one) => one())
    return result
  }
}

/** Call ``react`` after this node got its values from a workflow, and once for a new node. */
export function onValues(node, react) {
  const configure = node.onConfigure
  node.onConfigure = function (...values) {
    configure?.apply(this, values)
    react()
  }
  setTimeout(react)
}

/** Add a part of the page to a node. It is no input: neither the prompt nor the workflow holds it. */
export function addElement(node, name, element, height) {
  const widget = node.addDOMWidget(name, 'portraittalk', element, {
    serialize: false,
    getMinHeight: () => height,
    getMaxHeight: () => height
  })
  widget.serialize = false
  return widget
}

export function element(tag, style, attributes = {}) {
  const made = Object.assign(document.createElement(tag), attributes)
  Object.assign(made.style, style)
  return made
}
