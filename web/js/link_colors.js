import { app } from '../../../scripts/app.js'

// Colours of our link types. ComfyUI has them for its own types only and draws all others in one grey.
const COLORS = {
  PORTRAITTALK_MODEL: '#b39ddb',
  PORTRAITTALK_IDENTITY: '#ffcc80',
  PORTRAITTALK_STYLE: '#f48fb1',
  PORTRAITTALK_MOTION: '#4db6ac',
  PORTRAITTALK_CROP_DATA: '#bcaaa4'
}

// ComfyUI sets the types that a colour palette leaves out to '', each time that a palette is loaded. As a fallback, our
// colours outlive that, and a palette that names our types wins.
function provide(colors, type, fallback) {
  let ofPalette = colors[type]
  Object.defineProperty(colors, type, {
    get: () => ofPalette || fallback,
    set: (color) => (ofPalette = color),
    configurable: true,
    enumerable: true
  })
}

app.registerExtension({
  name: 'PortraitTalk.LinkColors',
  setup() {
    const rules = []
    for (const [type, color] of Object.entries(COLORS)) {
      provide(app.canvas.default_connection_color_byType, type, color) // slots
      provide(app.canvas.constructor.link_type_colors, type, color) // links
      rules.push(`--color-datatype-${type}: ${color};`) // slots of Nodes 2.0
    }
    const style = document.createElement('style')
    style.textContent = `:root { ${rules.join(' ')} }`
    document.head.append(style)
    app.canvas.setDirty(true, true)
  }
})
